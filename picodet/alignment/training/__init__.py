"""The first steps of a training, ours against ppdet's."""
