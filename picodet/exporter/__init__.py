"""Exports a model to ONNX, verified against torch before it is written."""
