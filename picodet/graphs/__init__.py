"""Exported graphs: read, brought to one spelling, and matched."""
