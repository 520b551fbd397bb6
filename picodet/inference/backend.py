"""The interface of all runtimes: preprocessed images -> candidates or detections."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np

from picodet.config import NMSSettings, Preprocessing, check_input_size
from picodet.errors import CheckpointError
from picodet.ops.postprocess import Candidates, Detections

OutputFormat = Literal["heads", "boxes", "detections"]  # what the file's own outputs are


@dataclass(frozen=True)
class ModelSpec:
    """The inputs, outputs, preprocessing and classes of a model."""

    name: str  # for display: the file's, or the official one
    output_format: OutputFormat
    input_size: tuple[int, int]  # height, width, pixels
    preprocessing: Preprocessing
    classes: tuple[str, ...] | None  # None where the file does not name them
    num_classes: int | None  # None only for "detections" without class names
    nms: NMSSettings | None = None  # what the file's settings state, for outputs before NMS
    notes: tuple[str, ...] = ()  # what was assumed because the file does not state it

    def class_name(self, label: int) -> str:
        """The name of class `label`; its number if it has none."""
        return self.classes[label] if self.classes else f"class {label}"


def check_size(file: Path, size: tuple[int, int]) -> None:
    """Raise CheckpointError for a (height, width) that PicoDet does not support."""
    try:
        check_input_size(size)
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from error


def describe_nms(nms: NMSSettings) -> str:
    """A note on numbers of NMS that a folder states."""
    return (
        f"NMS as the folder states it: score > {nms.score_threshold:g}, IoU > "
        f"{nms.iou_threshold:g}, the best {nms.top_k} of a class and {nms.keep_top_k} of all; "
        "--score-thr and --iou-thr change it"
    )


class ModelInputs(NamedTuple):
    """A preprocessed batch."""

    images: np.ndarray  # [B, 3, H, W] float32, preprocessed
    scale_factors: np.ndarray  # [B, 2] float32, (y, x): size of the input over that of the image


class Backend(Protocol):
    """An opened model file. Thread-safe: calls may come from several threads at once."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def runtime(self) -> str:
        """The package that runs the model, such as "onnxruntime"."""
        ...

    def __call__(self, inputs: ModelInputs) -> Sequence[Candidates] | Sequence[Detections]:
        """One per image: Detections where the form is "detections", otherwise Candidates.

        Raises PicoDetError where an output is not finite.
        """
        ...

    def close(self) -> None:
        """Release processes and settings; the backend must not be used afterwards."""
        ...
