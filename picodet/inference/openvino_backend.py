"""Runs an ONNX file in OpenVINO on the CPU."""

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from picodet.errors import CheckpointError, PicoDetError
from picodet.inference.backend import ModelInputs
from picodet.inference.onnx_metadata import read_onnx_spec
from picodet.ops.postprocess import Candidates, Detections

# openvino reports its import to Google Analytics unless the package that does so is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino  # noqa: E402

# float32 throughout: on CPUs with bfloat16 OpenVINO would use that, with other results
PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}


class OpenVinoBackend:
    """Runs an ONNX file in OpenVINO; threads: per call, 0 for all cores.

    Raises CheckpointError where the file cannot be loaded or is not a PicoDet.
    """

    runtime = "openvino"

    def __init__(self, path: Path, size: tuple[int, int] | None = None, threads: int = 0) -> None:
        try:
            file = onnx.load(path, load_external_data=False)
        except (OSError, DecodeError) as error:
            raise CheckpointError(f"{path}: not a readable ONNX file: {error}") from error
        try:
            model = openvino.Core().read_model(path)
            settings = PRECISION | {"INFERENCE_NUM_THREADS": threads}
            # The compiling thread gets another signal stack, which is freed with the model; then
            # Ctrl-C is a segmentation fault (openvino 2026.4.1).
            with ThreadPoolExecutor(1) as pool:
                self.compiled = pool.submit(openvino.compile_model, model, "CPU", settings).result()
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[-1]
            raise CheckpointError(f"{path}: OpenVINO cannot load it: {reason}") from error
        # The binding initializes NumPy at its first use. Two threads that do it at once deadlock in
        # about one run of twenty (openvino 2026.4.1), so it is done here.
        _ = openvino.Tensor(np.zeros(1, np.float32)).data
        self.path = path
        self.onnx_spec = read_onnx_spec(
            path,
            {
                model_input.any_name: _shape(model_input.partial_shape)
                for model_input in model.inputs
            },
            [_shape(output.partial_shape) for output in model.outputs],
            {entry.key: entry.value for entry in file.metadata_props},
            size,
        )
        self.spec = self.onnx_spec.spec
        self.requests = threading.local()  # a request cannot be used by two threads at once

    def __call__(self, inputs: ModelInputs) -> Sequence[Candidates] | Sequence[Detections]:
        if not hasattr(self.requests, "infer_request"):
            self.requests.infer_request = self.compiled.create_infer_request()
        try:
            outputs = self.requests.infer_request.infer(self.onnx_spec.feed(inputs))
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[-1]
            raise PicoDetError(f"{self.path}: OpenVINO cannot run it: {reason}") from error
        return self.onnx_spec.read([array.copy() for array in outputs.values()], inputs)

    def close(self) -> None:
        """Nothing to release: the model ends with the object."""


def _shape(shape: openvino.PartialShape) -> tuple[int | None, ...]:
    return tuple(None if dim.is_dynamic else dim.get_length() for dim in shape)
