"""COCO's numbers of a model or of a predictions file."""
