"""Opens any file that holds a PicoDet for inference."""

from dataclasses import dataclass, replace
from pathlib import Path

from picodet.errors import CheckpointError, PicoDetError
from picodet.files import unreadable_reason
from picodet.formats.inference_folder import is_inference_folder, is_part_of_program
from picodet.inference.backend import Backend, describe_nms
from picodet.system.extras import import_error_message

CONVERTED_NOTE = (
    "this Python has no Paddle: the program was converted and runs in torch; to run it in Paddle "
    "give --paddle-python PYTHON"
)


@dataclass(frozen=True)
class RuntimeOptions:
    """Where and how a model is run."""

    backend: str = "onnxruntime"  # runtime of an ONNX file
    device: str = "cpu"  # of a model in torch
    size: tuple[int, int] | None = None  # input height, width, if the file takes any
    # for an inference folder; None: this Python if it has Paddle, otherwise torch
    paddle_python: Path | None = None
    threads: int = 0  # per call; 0: the runtime's default
    float64: bool = False  # of a model in torch: rounding decides no near ties

    @property
    def precision(self) -> str:
        """The name of the precision, float32 or float64."""
        return "float64" if self.float64 else "float32"


def open_backend(path: Path, options: RuntimeOptions) -> Backend:
    """Open a model: an `.onnx` in options.backend, an inference folder in Paddle, others in torch.

    Raises CheckpointError where the file holds no PicoDet, and PicoDetError where the runtime is
    missing or does not support the options. A GPU sets two flags of cuDNN for the whole process.
    """
    if path.is_file() and is_part_of_program(path):
        path = path.parent
    is_program = path.is_dir() and is_inference_folder(path)
    if options.float64 and (is_program or path.suffix == ".onnx"):
        raise PicoDetError(
            f"{path} computes in float32; float64 is supported in torch only: convert it first"
        )
    if is_program:
        return _open_paddle(path, options)
    if path.suffix == ".onnx":
        if reason := unreadable_reason(path):
            raise CheckpointError(f"{path}: {reason}")
        _check_on_cpu(path, options, options.backend)
        return _open_onnx(path, options)
    return _open_torch(path, options)


def _open_onnx(path: Path, options: RuntimeOptions) -> Backend:
    try:
        if options.backend == "openvino":
            from picodet.inference.openvino_backend import OpenVinoBackend

            return OpenVinoBackend(path, options.size, options.threads)
        from picodet.inference.onnxruntime_backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend(path, options.size, options.threads)
    except ImportError as error:
        raise PicoDetError(
            f"{path}: cannot be run in {options.backend}: {import_error_message(error)}"
        ) from error


def _open_paddle(folder: Path, options: RuntimeOptions) -> Backend:
    from picodet.inference.paddle_backend import open_paddle
    from picodet.paddle_process.client import MissingPaddleError

    try:
        backend = open_paddle(folder, options.paddle_python, options.size)
    except MissingPaddleError as missing:
        if options.paddle_python is not None:
            raise
        try:
            return _open_torch(folder, options, (CONVERTED_NOTE,))
        except PicoDetError as error:
            raise PicoDetError(f"{error}. It can run in Paddle only: {missing}") from error
    try:
        _check_on_cpu(folder, options, "Paddle")
    except PicoDetError:
        backend.close()
        raise
    return backend


def _check_on_cpu(path: Path, options: RuntimeOptions, runtime: str) -> None:
    if options.device != "cpu":
        raise PicoDetError(
            f"{path}: {runtime} runs on the CPU only, not on {options.device}; --device is for "
            "models in torch: convert it first"
        )


def _open_torch(path: Path, options: RuntimeOptions, notes: tuple[str, ...] = ()) -> Backend:
    import torch

    from picodet.converter.detector import open_detector
    from picodet.inference.torch_backend import TorchBackend, move_to_device
    from picodet.models.folding import fold_batch_norms

    opened = open_detector(path, options.size)
    model = opened.model
    if options.size is not None:
        model.config = replace(model.config, input_size=options.size)
    model = fold_batch_norms(model.double() if options.float64 else model)
    if not options.float64:  # faster, but four times slower in float64
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch knows it
    model = move_to_device(model, options.device)
    notes += opened.notes
    if opened.nms is not None:
        notes += (describe_nms(opened.nms),)
    return TorchBackend(model, notes, options.threads, opened.nms)
