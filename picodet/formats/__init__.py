"""File formats, one per module. Nothing that is read is executed."""
