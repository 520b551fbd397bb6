"""File formats, one a module. Nothing that is read is run."""
