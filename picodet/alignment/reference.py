"""Any reference -> a recording of it."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from picodet.alignment.index import Settings
from picodet.alignment.network_input import NetworkInput, read_array
from picodet.alignment.order import Order
from picodet.alignment.paddle_process import record_in_paddle
from picodet.config import Preprocessing
from picodet.data.preprocess import preprocess, read_image
from picodet.errors import RecordingError
from picodet.inference.inference_folder import FolderSettings, read_settings

KINDS = (
    "a recording of picodet-align record, a .pdparams of ppdet, a Paddle inference folder "
    "(model.pdmodel, model.json or inference.json with .pdiparams) or an .onnx file"
)
DEFAULT_SIZE = (416, 416)


def is_recording(path: Path) -> bool:
    """Whether a reference is recorded already; its content is looked at when it is opened."""
    return path.suffix == ".safetensors" and path.is_file()


def record(order: Order, paddle_python: Path | None, progress: Callable[[int, int], None]) -> None:
    """Run a reference once and write what it did.

    Raises RecordingError where that cannot be done and for what is no reference, CheckpointError
    for a folder that is damaged.
    """
    reference = order.reference
    if not reference.exists():
        raise RecordingError(f"{reference}: there is no such file or folder; expected is {KINDS}")
    if reference.is_file() and reference.suffix == ".pdparams":
        record_in_paddle(order, paddle_python, progress)
    elif order.float64:
        raise RecordingError(
            f"{reference}: an export computes in float32; --float64 takes a .pdparams, which ppdet "
            "runs, or a recording of one"
        )
    elif reference.is_dir():
        settings = read_settings(reference)
        with tempfile.TemporaryDirectory() as folder:
            array = Path(folder) / "input.npz"
            _fed(order, settings).save(array)
            order = replace(order, array=array, settings=_as_recorded(settings))
            record_in_paddle(order, paddle_python, progress)
    elif reference.suffix == ".onnx":
        try:
            from picodet.alignment import onnx_recorder  # noqa: PLC0415 (an extra)
        except ModuleNotFoundError as error:
            raise RecordingError(
                f"{reference} needs {error.name}: pip install onnx onnxruntime"
            ) from error
        onnx_recorder.record_onnx_file(order, _fed(order, None), progress)
    else:
        raise RecordingError(f"{reference}: not a reference; expected is {KINDS}")


def _as_recorded(settings: FolderSettings | None) -> Settings | None:
    if settings is None:
        return None
    numbers = settings.preprocessing
    return Settings(settings.size, numbers.interp, numbers.mean, numbers.std)


def _fed(order: Order, settings: FolderSettings | None) -> NetworkInput:
    """A picture goes through our own preprocessing, with the reference's numbers."""
    if order.picture is None:
        if order.array is None:
            raise RecordingError("neither a picture nor an array to feed the reference with")
        return read_array(order.array)
    size, numbers = order.input_size or DEFAULT_SIZE, Preprocessing()
    if settings is not None:
        size, numbers = settings.size, settings.preprocessing
    array, scale_factor = preprocess(read_image(order.picture), size, numbers)
    return NetworkInput(array[None], scale_factor, order.picture.read_bytes())
