"""Runs `picodet-align --training`: records ppdet's training and compares picodet's with it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picodet.alignment.reference.paddle import record_in_paddle
from picodet.alignment.reference.record import CHECKPOINTS
from picodet.alignment.reference.request import SUMMARY_SAMPLES, TrainingRecordRequest
from picodet.alignment.result import Comparison
from picodet.alignment.training import npz_file
from picodet.alignment.training.folder import is_reference_folder, read_folder
from picodet.alignment.training.recording import TrainingRecording
from picodet.errors import AlignmentError, RecordingError
from picodet.files import check_distinct, check_writable, unreadable_reason
from picodet.formats.inference_folder import is_inference_folder

if TYPE_CHECKING:  # they import torch, which recording does not need
    from picodet.alignment.open_candidate import OpenedModel
    from picodet.converter.paddle_checkpoints import WeightSet

ProgressCallback = Callable[[int, int], None]
ACCEPTED_KINDS = (
    "a recording of picodet-align record --training (.npz), a .pdparams or .pdema of ppdet, a "
    "training output folder, or a folder that make_reference.py wrote"
)


@dataclass(frozen=True)
class TrainingInputOptions:
    """The batch and precision of both trainings."""

    batch: Path | None  # an .npz; None for a synthetic batch
    float64: bool  # compute in float64


def training_input_options(
    image: Path | None, batch: Path | None, float64: bool
) -> TrainingInputOptions:
    """The options from the command line. Raises AlignmentError for an image, which has no boxes."""
    if image:
        raise AlignmentError(
            f"{image}: --training needs images with their boxes; give --input, an .npz of images, "
            "boxes, classes and valid"
        )
    return TrainingInputOptions(batch, float64)


def record(
    reference: Path,
    out: Path,
    inputs: TrainingInputOptions,
    summary: bool,
    input_size: tuple[int, int] | None,
    overwrite: bool,
    paddle_python: Path | None,
    progress: ProgressCallback,
) -> dict[str, Any]:
    """Write a recording to `out`, an .npz, and return a summary of it for JSON.

    summary: keep samples of tensors only; input_size: height, width, for references that do not
    state it; paddle_python: of the environment with Paddle, None for the running one. Raises
    RecordingError where the reference cannot be trained, OutputError where `out` cannot be written.
    """
    if out.suffix != ".npz":
        raise RecordingError(f"{out}: expected the suffix .npz for a recorded training")
    check_writable(out, overwrite)
    check_distinct(out, [path for path in (reference, inputs.batch) if path])
    _record(
        reference,
        out,
        inputs,
        SUMMARY_SAMPLES if summary else 0,
        input_size,
        paddle_python,
        progress,
    )
    recording = npz_file.read(out)
    return {
        "recording": str(out),
        "kind": "ppdet's training",
        "precision": recording.precision,
        "runs": {run.name: len(run.losses) for run in recording.runs},
        "tensors": len(recording.weights),
        "bytes": out.stat().st_size,
    }


def compare(
    reference: Path,
    model_path: Path,
    inputs: TrainingInputOptions,
    tolerance: float | None,
    paddle_python: Path | None,
    progress: ProgressCallback,
    weight_set: "WeightSet | None" = None,
) -> Comparison:
    """Record the reference if it is not a recording, and compare picodet's training with it.

    weight_set: EMA or raw weights, if the model's file has both; tolerance: see align_training.
    Raises a PicoDetError where the two cannot be compared.
    """
    from picodet.alignment.open_candidate import open_candidate  # noqa: PLC0415 (imports torch)

    if tolerance is not None and not 0 < tolerance < float("inf"):
        raise AlignmentError(f"--tolerance {tolerance}: expected a positive finite number")
    recorded = _open_recording(reference, inputs)
    opened_model = open_candidate(model_path, weight_set)
    if recorded is None:
        size = opened_model.candidate.model.config.input_size
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "reference.npz"
            _record(reference, out, inputs, 0, size, paddle_python, lambda done, total: None)
            recorded = npz_file.read(out)
    return _compare(recorded, opened_model, tolerance, progress)


def _open_recording(reference: Path, inputs: TrainingInputOptions) -> TrainingRecording | None:
    """The recording at `reference`; None for a reference that has to be trained."""
    if npz_file.is_training_recording(reference):
        recorded = npz_file.read(reference)
    elif is_reference_folder(reference):
        recorded = read_folder(reference)
    else:
        return None
    if inputs.batch:
        raise AlignmentError(
            f"{reference}: a recording has its own images; leave --input out, or give weights as "
            "the reference"
        )
    if inputs.float64 and recorded.precision != "float64":
        raise AlignmentError(
            f"{reference}: recorded in float32; --float64 needs a recording made with --float64"
        )
    return recorded


def _record(
    reference: Path,
    out: Path,
    inputs: TrainingInputOptions,
    samples: int,
    input_size: tuple[int, int] | None,
    paddle_python: Path | None,
    progress: ProgressCallback,
) -> None:
    is_checkpoint = reference.suffix in CHECKPOINTS or (
        reference.is_dir()
        and not is_inference_folder(reference)
        and any(reference.glob("*.pdparams"))
    )
    if not (reference.exists() and is_checkpoint):
        found = "not one" if reference.exists() else "there is no such file or folder"
        raise RecordingError(f"{reference}: {found}; for --training, expected {ACCEPTED_KINDS}")
    if inputs.batch and (reason := unreadable_reason(inputs.batch)):
        raise RecordingError(f"{inputs.batch}: {reason}")
    request = TrainingRecordRequest(
        reference, out, inputs.batch, input_size, inputs.float64, samples
    )
    record_in_paddle(request, paddle_python, progress)


def _compare(
    recorded: TrainingRecording,
    opened_model: "OpenedModel",
    tolerance: float | None,
    progress: ProgressCallback,
) -> Comparison:
    from picodet.alignment.training.align import align_training  # noqa: PLC0415 (imports torch)
    from picodet.alignment.training.recipe import recipe_of  # noqa: PLC0415
    from picodet.alignment.training.steps import TrainingSetup  # noqa: PLC0415

    height, width = recorded.images.shape[2:]
    opened = opened_model.with_input_size((height, width))
    model = opened.candidate.model
    ours = TrainingSetup(model, recipe_of(model.config))
    return align_training(recorded, ours, opened.path, tolerance, progress, opened.notes)
