"""From annotations and images to batches, augmented as ppdet does."""
