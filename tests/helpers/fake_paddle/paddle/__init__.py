"""What paddle_server.py uses of Paddle, in NumPy; a "program" is JSON that says what it does."""
