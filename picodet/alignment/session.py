"""What the two commands do: record a reference, and hold a model against one."""

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

if TYPE_CHECKING:  # it imports torch, and to record needs none
    from picodet.alignment.open_candidate import OpenedModel
    from picodet.converter.paddle_checkpoints import WeightSet

ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True)
class InputOptions:
    """What the user wants both sides to be fed with; nothing is the picture of probes.py."""

    image: Path | None
    array: Path | None
    float64: bool

    def check(self) -> None:
        """Raise AlignmentError where the wishes contradict each other."""
        if self.image and self.array:
            raise AlignmentError(
                "--image and --input: one of them, they are fed in place of another"
            )
        for path in (self.image, self.array):
            if path and (reason := unreadable_reason(path)):
                raise AlignmentError(f"{path}: {reason}")

    def request(
        self, reference: Path, out: Path, input_size: tuple[int, int] | None, samples: int
    ) -> RecordRequest:
        """Raises as `check` does."""
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
    """Write a recording; what it holds, in numbers.

    Raises RecordingError where the reference cannot be run, OutputError where `out` cannot be
    written.
    """
    if out.suffix != ".safetensors":
        raise RecordingError(f"{out}: the suffix of a recording is .safetensors")
    check_writable(out, overwrite)
    check_distinct(out, [path for path in (reference, inputs.image, inputs.array) if path])
    if is_recording(reference):
        raise RecordingError(f"{reference}: a .safetensors; a recording is not recorded again")
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
    """Record the reference if it is not a recording, and compare.

    which: of the model's averaged and raw weights, where it has both. Raises a PicoDetError where
    the two cannot be compared; what can be known of that before the reference is run, before.
    """
    from picodet.alignment.open_candidate import open_candidate  # noqa: PLC0415 (imports torch)

    if tolerance is not None and not 0 < tolerance < float("inf"):
        raise AlignmentError(f"--tolerance {tolerance}: a positive number is expected")
    inputs.check()
    is_recorded = is_recording(reference)
    if is_recorded and (inputs.image or inputs.array):
        raise AlignmentError(
            f"{reference}: a recording has its own input; --image and --input are for "
            "references that are run"
        )
    if inputs.float64 and model_path.suffix == ".onnx":
        raise AlignmentError(
            f"{model_path}: an ONNX computes in float32; with --float64 weights are expected, "
            "which we run ourselves"
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
    from picodet.alignment.align import align  # noqa: PLC0415 (imports torch, record does not)

    with Recording(path) as recording:
        if float64 and recording.index.precision != "float64":
            raise AlignmentError(f"{path}: recorded in float32; record it again with --float64")
        height, width = recording.index.tensors[recording.index.input].shape[2:]
        opened = model.with_input_size((height, width))
        return align(opened.candidate, opened.path, recording, tolerance, progress, opened.notes)
