"""Paddle's own Python process: how it is started and spoken to."""
