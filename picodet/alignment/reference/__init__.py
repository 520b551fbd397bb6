"""A reference is run and recorded: by ppdet, by paddlepaddle or by onnxruntime."""
