"""What runs inside Paddle's own process. It imports no torch; nothing else imports paddle."""
