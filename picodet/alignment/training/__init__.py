"""Compares the first training steps of picodet with ppdet's."""
