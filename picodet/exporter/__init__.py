"""A model as ONNX, verified against torch before it is written."""
