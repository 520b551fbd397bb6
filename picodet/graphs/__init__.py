"""Exported graphs: read, put into canonical operators, and matched with the model."""
