"""Every number of a training, as data. Needs no torch."""
