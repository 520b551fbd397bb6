"""Training recipes: every number of a training, as data. Needs no torch."""
