"""A process with Paddle: starting it, and the protocols to talk to it."""
