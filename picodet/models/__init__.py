"""The networks, which mirror ppdet's layer by layer, and their checkpoints."""
