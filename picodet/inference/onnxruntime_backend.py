"""Runs an ONNX file in onnxruntime on the CPU."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from picodet.errors import CheckpointError, PicoDetError
from picodet.files import regular_file
from picodet.inference.backend import ModelInputs
from picodet.inference.onnx_metadata import read_onnx_spec
from picodet.ops.postprocess import Candidates, Detections
from picodet.system.ort import onnxruntime

FLOAT = "tensor(float)"
DTYPES = {FLOAT: np.float32, "tensor(float16)": np.float16}  # of inputs


class OnnxRuntimeBackend:
    """Runs an ONNX file in onnxruntime; threads: per call, 0 for all cores.

    Raises CheckpointError where the file cannot be loaded or is not a PicoDet.
    """

    runtime = "onnxruntime"

    def __init__(self, path: Path, size: tuple[int, int] | None = None, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors are raised as exceptions
        try:
            content = regular_file(path).read_bytes()
            self.session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
        except Exception as error:  # onnxruntime's errors have no common class
            raise CheckpointError(f"{path}: onnxruntime cannot load it: {error}") from error
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        for model_input in inputs:
            if model_input.type not in DTYPES:
                raise CheckpointError(
                    f"{path}: its input {model_input.name} is a {model_input.type}; {FLOAT} is "
                    "expected"
                )
        self.path = path
        self.onnx_spec = read_onnx_spec(
            path,
            {model_input.name: _shape(model_input.shape) for model_input in inputs},
            [_shape(output.shape) for output in outputs],
            self.session.get_modelmeta().custom_metadata_map,
            size,
        )
        self.spec = self.onnx_spec.spec
        self.dtypes = {model_input.name: DTYPES[model_input.type] for model_input in inputs}
        self.names = [output.name for output in outputs]

    def __call__(self, inputs: ModelInputs) -> Sequence[Candidates] | Sequence[Detections]:
        try:
            feed = {
                name: array.astype(self.dtypes[name], copy=False)
                for name, array in self.onnx_spec.feed(inputs).items()
            }
            outputs = self.session.run(self.names, feed)
        except Exception as error:  # as above
            raise PicoDetError(f"{self.path}: onnxruntime cannot run it: {error}") from error
        return self.onnx_spec.read([_as_float32(output) for output in outputs], inputs)

    def close(self) -> None:
        """Nothing to release: the session ends with the object."""


def _as_float32(output: object) -> np.ndarray:
    """An output; one in half precision, which has too few digits for pixels, in float32."""
    array = np.asarray(output)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _shape(dims: Sequence[int | str | None]) -> tuple[int | None, ...]:
    return tuple(dim if isinstance(dim, int) else None for dim in dims)
