"""Code that runs in Paddle's process. It imports no torch, and nothing else imports paddle."""
