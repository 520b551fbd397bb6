"""Layer-by-layer comparison of a model with a reference."""
