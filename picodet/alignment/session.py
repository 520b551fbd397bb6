"""What picodet-align does: record a reference, and compare a model with one."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picodet.alignment.recording import probes
from picodet.alignment.recording.reader import Recording, is_recording
from picodet.alignment.reference.record import record as make_recording
from picodet.alignment.reference.request import SUMMARY_SAMPLES, RecordRequest
from picodet.alignment.result import Comparison
from picodet.errors import AlignmentError, RecordingError
from picodet.files import check_distinct, check_writable, unreadable_reason

if TYPE_CHECKING:  # these import torch, which recording does not need
    from picodet.alignment.open_candidate import OpenedModel
    from picodet.converter.paddle_checkpoints import WeightSet

ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True)
class InputOptions:
    """The input of both sides; without image and array, the bundled test image."""

    image: Path | None
    array: Path | None  # .npy [1, 3, H, W]: the preprocessed input
    float64: bool

    def check(self) -> None:
        """Raise AlignmentError where both are given or a file cannot be read."""
        if self.image and self.array:
            raise AlignmentError("give either --image or --input, not both")
        for path in (self.image, self.array):
            if path and (reason := unreadable_reason(path)):
                raise AlignmentError(f"{path}: {reason}")

    def request(
        self, reference: Path, out: Path, input_size: tuple[int, int] | None, samples: int
    ) -> RecordRequest:
        """The request to record `reference` with this input. Raises as `check` does."""
        self.check()
        image = None if self.array else self.image or probes.IMAGE
        return RecordRequest(reference, out, image, self.array, input_size, self.float64, samples)


def record(
    reference: Path,
    out: Path,
    inputs: InputOptions,
    summary: bool,
    input_size: tuple[int, int] | None,
    overwrite: bool,
    paddle_python: Path | None,
    progress: ProgressCallback,
) -> dict[str, Any]:
    """Run a reference and write its recording to `out`; what that contains, in numbers.

    Writes nothing else; needs no torch. Raises RecordingError where the reference cannot be run,
    OutputError where `out` cannot be written.
    """
    if out.suffix != ".safetensors":
        raise RecordingError(f"{out}: wrong suffix; a recording is a .safetensors file")
    check_writable(out, overwrite)
    check_distinct(out, [path for path in (reference, inputs.image, inputs.array) if path])
    if is_recording(reference):
        raise RecordingError(f"{reference}: already a recording; compare with it directly")
    request = inputs.request(reference, out, input_size, SUMMARY_SAMPLES if summary else 0)
    make_recording(request, paddle_python, progress)
    with Recording(out) as recording:
        index = recording.index
        return {
            "recording": str(out),
            "kind": index.kind,
            "precision": index.precision,
            "calls": len(index.calls) or len(index.operators),
            "tensors": len(index.tensors),
            "bytes": out.stat().st_size,
        }


def compare(
    reference: Path,
    model_path: Path,
    inputs: InputOptions,
    tolerance: float | None,
    paddle_python: Path | None,
    progress: ProgressCallback,
    weight_set: "WeightSet | None" = None,
) -> Comparison:
    """Compare a model with a reference, which is recorded first if it is not a recording.

    tolerance: see `align`. paddle_python: a Python with Paddle; None is this one. weight_set: which
    weights, where the model's file has several. Writes a temporary folder, which it removes. Raises
    a PicoDetError where the two cannot be compared, before the reference is run if possible.
    """
    from picodet.alignment.open_candidate import open_candidate  # noqa: PLC0415 (imports torch)

    if tolerance is not None and not 0 < tolerance < float("inf"):
        raise AlignmentError(f"--tolerance {tolerance}: expected a positive finite number")
    inputs.check()
    is_recorded = is_recording(reference)
    if is_recorded and (inputs.image or inputs.array):
        raise AlignmentError(
            f"{reference}: a recording has its own input; give --image and --input only with a "
            "reference that is run"
        )
    if inputs.float64 and model_path.suffix == ".onnx":
        raise AlignmentError(
            f"{model_path}: an ONNX file computes in float32; with --float64 give its checkpoint, "
            "which PyTorch runs"
        )
    model = open_candidate(model_path, weight_set)
    if is_recorded:
        return _compare(reference, model, inputs.float64, tolerance, progress)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "reference.safetensors"
        size = model.candidate.model.config.input_size
        make_recording(inputs.request(reference, out, size, 0), paddle_python, progress)
        return _compare(out, model, False, tolerance, progress)


def _compare(
    path: Path,
    model: "OpenedModel",
    float64: bool,
    tolerance: float | None,
    progress: ProgressCallback,
) -> Comparison:
    from picodet.alignment.align import align  # noqa: PLC0415 (imports torch)

    with Recording(path) as recording:
        if float64 and recording.index.precision != "float64":
            raise AlignmentError(
                f"{path}: recorded in float32; --float64 needs a recording made with --float64"
            )
        height, width = recording.index.tensors[recording.index.input].shape[2:]
        opened = model.with_input_size((height, width))
        return align(opened.candidate, opened.path, recording, tolerance, progress, opened.notes)
