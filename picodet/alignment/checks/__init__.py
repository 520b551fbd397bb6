"""The stages of a comparison, from the weights to NMS."""
