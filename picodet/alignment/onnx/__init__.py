"""An ONNX file as the model that is compared, run by onnxruntime."""
