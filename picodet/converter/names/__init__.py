"""Tensor names: the tables that translate them, and recognizing a model by them."""
