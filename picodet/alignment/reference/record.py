"""Records any kind of reference."""

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from picodet.alignment.recording.index import PreprocessingSettings
from picodet.alignment.recording.network_input import NetworkInput, read_array
from picodet.alignment.reference.paddle import record_in_paddle
from picodet.alignment.reference.request import RecordRequest
from picodet.config import Preprocessing
from picodet.converter.configure import ConvertOptions
from picodet.converter.sources import TORCH_SUFFIXES
from picodet.data.preprocess import check_supported, preprocess, read_image
from picodet.data.resize_kernels import fingerprint
from picodet.errors import Note, RecordingError
from picodet.files import regular_file
from picodet.formats.foreign_files import foreign_format
from picodet.formats.huggingface_folder import is_hub_folder
from picodet.formats.inference_folder import is_inference_folder
from picodet.formats.settings.infer_cfg import InferConfig, read_infer_cfg
from picodet.formats.shards import is_index
from picodet.system.extras import import_error_message

ACCEPTED_KINDS = (
    "a recording of picodet-align record, a .pdparams or .pdema of ppdet, a training output "
    "folder, a Paddle inference folder (model.pdmodel, model.json or inference.json with "
    ".pdiparams), an .onnx file, or weights that can be converted to a .pdparams: a .pth or "
    ".safetensors (of picodet, of the mmdet port, or a state_dict), or a directory in Hugging "
    "Face's form"
)
DEFAULT_SIZE = (416, 416)
CHECKPOINTS = (".pdparams", ".pdema")


def record(
    request: RecordRequest, paddle_python: Path | None, progress: Callable[[int, int], None]
) -> None:
    """Run a reference once and write a recording of it to `request.out`.

    paddle_python: as for `record_in_paddle`. Raises RecordingError where that fails and for what
    is not a reference, CheckpointError for a damaged folder, and for weights that have to be
    converted to a .pdparams what picodet.converter.convert raises.
    """
    reference = request.reference
    if not reference.exists():
        raise RecordingError(
            f"{reference}: there is no such file or folder; expected {ACCEPTED_KINDS}"
        )
    if _is_ppdet_checkpoint(reference):
        record_in_paddle(request, paddle_python, progress)
    elif _is_convertible(reference):
        with tempfile.TemporaryDirectory() as folder:
            exported = _export_to_ppdet(request, Path(folder))
            try:
                record_in_paddle(exported, paddle_python, progress)
            except RecordingError as error:  # it names the temporary file
                text = str(error).replace(str(exported.reference), str(reference))
                raise RecordingError(text) from error
    elif request.float64:
        raise RecordingError(
            f"{reference}: an export computes in float32; with --float64 the reference has to be "
            "weights, which ppdet runs, or a recording of such a run"
        )
    elif reference.is_dir():
        request, settings = _settings_of_folder(request)
        with tempfile.TemporaryDirectory() as folder:
            array = Path(folder) / "input.npz"
            _prepare_input(request, settings).save(array)
            request = replace(request, array=array, settings=_recorded_settings(settings))
            request = replace(request, classes=settings.labels if settings else None)
            record_in_paddle(request, paddle_python, progress)
    elif reference.suffix == ".onnx":
        try:
            from picodet.alignment.reference.onnx_runtime import record_onnx_file  # noqa: PLC0415
        except ImportError as error:
            raise RecordingError(f"{reference}: {import_error_message(error)}") from error
        record_onnx_file(request, _prepare_input(request, None), progress)
    else:
        what = foreign_format(reference) or "not a reference"
        raise RecordingError(f"{reference}: {what}; expected {ACCEPTED_KINDS}")


def _is_ppdet_checkpoint(reference: Path) -> bool:
    """Whether it is a checkpoint of ppdet, or a training output folder that holds some."""
    if not reference.is_dir():
        return reference.suffix in CHECKPOINTS
    return not is_inference_folder(reference) and any(reference.glob("*.pdparams"))


def _is_convertible(reference: Path) -> bool:
    return is_hub_folder(reference) or is_index(reference) or reference.suffix in TORCH_SUFFIXES


def _export_to_ppdet(request: RecordRequest, folder: Path) -> RecordRequest:
    """A request for the same weights as a `.pdparams`, with the preprocessing their file states."""
    from picodet.converter import writers  # noqa: PLC0415 (imports torch; to record needs none)
    from picodet.converter.convert import convert_model  # noqa: PLC0415

    file = folder / f"{request.reference.name}.pdparams"
    _, converted = convert_model(request.reference, assume_input_size(request.input_size))
    classes = converted.config.classes if converted.has_class_names else None
    writers.write(converted, file, "ppdet", {})
    config = converted.config
    if request.image is not None:
        check_supported(config.preprocessing)
        if config.preprocessing.padding:  # ppdet's own transforms round another way
            raise RecordingError(
                f"{request.reference}: its images are padded as PaddleDetection's deploy code "
                "does; ppdet's evaluation does not. Record the folder it was exported to, or "
                "give the network's input with --input"
            )
    settings = PreprocessingSettings.of(config.input_size, config.preprocessing)
    return replace(request, reference=file, settings=settings, classes=classes)


def assume_input_size(size: tuple[int, int] | None) -> ConvertOptions:
    """Options that answer `size` for weights that fit models of several sizes and state none."""
    return ConvertOptions(ask_for_size=None if size is None else lambda _: size)


def _settings_of_folder(request: RecordRequest) -> tuple[RecordRequest, InferConfig | None]:
    """The folder's settings with the input size of its program, which is noted if they differ.

    Without settings the size goes into the request, unless it asks for one.
    """
    from picodet.graphs.inference_folder import read_size  # noqa: PLC0415 (as in readers.py)

    settings = read_infer_cfg(request.reference)
    size, note = read_size(request.reference, settings)
    if note:
        warnings.warn(f"{request.reference}: {note}", Note, stacklevel=2)
    if settings is None:
        return replace(request, input_size=request.input_size or size), None
    return request, replace(settings, size=size or settings.size)


def _recorded_settings(settings: InferConfig | None) -> PreprocessingSettings | None:
    if settings is None or settings.size is None or settings.preprocessing.unsupported:
        return None
    return PreprocessingSettings.of(settings.size, settings.preprocessing)


def _prepare_input(request: RecordRequest, settings: InferConfig | None) -> NetworkInput:
    """The array, or the image preprocessed by picodet with the reference's settings."""
    if request.image is None:
        if request.array is None:
            raise RecordingError("no input for the reference; expected an image or an array")
        return read_array(request.array)
    size, numbers = request.input_size or DEFAULT_SIZE, Preprocessing()
    if settings is not None:
        size, numbers = settings.size or size, settings.preprocessing
    image = read_image(request.image)
    array, scale_factor = preprocess(image, size, numbers)
    portable, _ = preprocess(image, size, replace(numbers, resize="portable"))
    return NetworkInput(
        array=array[None],
        scale_factor=scale_factor,
        encoded_image=regular_file(request.image).read_bytes(),
        kernels=fingerprint(numbers.resize),
        is_portable=np.array_equal(array, portable),
    )
