"""A PicoDet in our form, and what became of the tensors that it was made of."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from picodet.config import ModelConfig
from picodet.converter.match_tensors import Conversion, UnmatchedTensor
from picodet.errors import ConversionError
from picodet.formats.meta import Kind


@dataclass(frozen=True)
class ConvertedModel:
    """Everything that a file of weights is written from."""

    kind: Kind
    config: ModelConfig
    weights: dict[str, np.ndarray] = field(repr=False)  # by the names of our model's state_dict
    parameters: int  # of our model, learnable
    tensors: int  # of the source
    mapped: int
    dtypes: dict[str, int]  # how many of the mapped tensors came in which format
    skipped: tuple[UnmatchedTensor, ...]  # of the source
    initialized: tuple[UnmatchedTensor, ...]  # of our model
    notes: tuple[str, ...]  # what was assumed, and how to say otherwise
    has_class_names: bool = False  # the file or the user, and not what is assumed


class IncompleteError(ConversionError):
    """Tensors without a place, or places without a tensor: all of them."""

    def __init__(self, source: Path, variant: str, conversion: Conversion) -> None:
        count = len(conversion.problems)
        super().__init__(
            f"{source} does not fit {variant}: {count} problem{'s' * (count > 1)}, in the table; "
            "nothing was written"
        )
        self.problems = conversion.problems

    def as_json(self) -> dict[str, Any]:
        return super().as_json() | {"problems": [asdict(problem) for problem in self.problems]}
