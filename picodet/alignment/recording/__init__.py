"""What a reference did with one input, as a file: its index, reading, writing, and the probes."""
