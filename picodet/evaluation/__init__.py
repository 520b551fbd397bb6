"""Evaluates a model or a predictions file with COCO's metrics."""
