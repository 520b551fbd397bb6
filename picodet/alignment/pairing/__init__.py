"""Which layers and tensors of the reference are which of ours."""
