"""The interface of what runs a PicoDet: preprocessed images -> candidates or detections."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np

from picodet.config import Preprocessing, check_input_size
from picodet.errors import CheckpointError
from picodet.ops.postprocess import Candidates, Detections

OutputFormat = Literal["heads", "boxes", "detections"]  # how far a file goes by itself


@dataclass(frozen=True)
class ModelSpec:
    """The inputs, outputs, preprocessing and classes of a model."""

    name: str  # for people: the file's, or the official one
    output_format: OutputFormat
    input_size: tuple[int, int]  # height, width, pixels
    preprocessing: Preprocessing
    classes: tuple[str, ...] | None  # None where the file does not name them
    num_classes: int | None  # None only for "detections" that do not name them
    notes: tuple[str, ...] = ()  # what was assumed because the file does not say it

    def class_name(self, label: int) -> str:
        """The name of a class; its number if it has none."""
        return self.classes[label] if self.classes else f"class {label}"


def check_size(file: Path, size: tuple[int, int]) -> None:
    """Raise CheckpointError for a (height, width) that no PicoDet takes."""
    try:
        check_input_size(size)
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from error


class ModelInputs(NamedTuple):
    """A preprocessed batch."""

    images: np.ndarray  # [B, 3, H, W] float32, preprocessed
    scale_factors: np.ndarray  # [B, 2] float32, (y, x): size of the input over that of the image


class Backend(Protocol):
    """A file that was opened. Calls may come from several threads at once."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def runtime(self) -> str:
        """The package that computes."""
        ...

    def __call__(self, inputs: ModelInputs) -> Sequence[Candidates] | Sequence[Detections]:
        """One per image: Detections where the form is "detections", otherwise Candidates.

        Raises PicoDetError where what comes out is not finite.
        """
        ...

    def close(self) -> None:
        """End what was started for it; nothing else may be asked of it then."""
        ...
