"""Pairs layers and tensors of the reference with those of picodet's model."""
