"""Any file that holds a PicoDet -> a network that can be asked."""

from dataclasses import dataclass, replace
from pathlib import Path

from picodet.errors import CheckpointError, PicoDetError
from picodet.files import unreadable_reason
from picodet.formats.inference_folder import is_inference_folder, is_part_of_program
from picodet.inference.backend import Backend
from picodet.system.extras import import_error_message

CONVERTED_NOTE = (
    "this Python has no Paddle: the program was ported, and torch runs it; --paddle-python PYTHON "
    "names one where Paddle runs it"
)


@dataclass(frozen=True)
class RuntimeOptions:
    """Options on how a model is run."""

    backend: str = "onnxruntime"  # of an ONNX file
    device: str = "cpu"  # torch's, of a model in torch
    size: tuple[int, int] | None = None  # height, width of the input, where a file takes any
    # of an inference folder; None: the Python that runs this if it has Paddle, and else torch
    paddle_python: Path | None = None
    threads: int = 0  # of each call; 0: as many as the runtime takes by itself
    float64: bool = False  # of a model in torch: no near tie is decided by rounding

    @property
    def precision(self) -> str:
        """The precision as text."""
        return "float64" if self.float64 else "float32"


def open_backend(path: Path, options: RuntimeOptions) -> Backend:
    """An `.onnx` runs in the backend, an inference folder in Paddle, everything else in torch.

    Raises CheckpointError where the file is none of these, and PicoDetError where what runs it is
    missing or cannot do what is asked.
    """
    if path.is_file() and is_part_of_program(path):
        path = path.parent
    is_program = path.is_dir() and is_inference_folder(path)
    if options.float64 and (is_program or path.suffix == ".onnx"):
        raise PicoDetError(
            f"{path} computes in float32; only what runs in torch can in float64: convert it first"
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
            f"{path} is to be run by {options.backend}, and {import_error_message(error)}"
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
            raise PicoDetError(f"{error}. So it takes Paddle: {missing}") from error
    try:
        _check_on_cpu(folder, options, "Paddle")
    except PicoDetError:
        backend.close()
        raise
    return backend


def _check_on_cpu(path: Path, options: RuntimeOptions, runtime: str) -> None:
    if options.device != "cpu":
        raise PicoDetError(
            f"{path} is run by {runtime} on the CPU, and not on {options.device}; --device is for "
            "what runs in torch: convert it first"
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
    if not options.float64:  # which is faster, but in double four times slower
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch knows it
    model = move_to_device(model, options.device)
    return TorchBackend(model, (*notes, *opened.notes), options.threads)
