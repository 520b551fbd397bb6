"""Runs references and records them: with ppdet, paddlepaddle or onnxruntime."""
