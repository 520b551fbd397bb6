"""An ONNX file as the compared model, run by onnxruntime."""
