"""The part of Paddle that picodet.paddle_process uses, in NumPy; a "program" is JSON."""
