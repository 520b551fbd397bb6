"""A converted PicoDet, and what became of the tensors of its source."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from picodet.config import ModelConfig, NMSSettings
from picodet.converter.match_tensors import Conversion, UnmatchedTensor
from picodet.errors import ConversionError
from picodet.formats.meta import Kind

PRUNED = 10  # tensors of other shapes, where all have a partner, that are more than a mistake


@dataclass(frozen=True)
class ConvertedModel:
    """A converted model: everything that a file of weights is written from."""

    kind: Kind
    config: ModelConfig
    weights: dict[str, np.ndarray] = field(repr=False)  # by the names of the PyTorch state_dict
    parameters: int  # learnable, of the PyTorch model
    tensors: int  # of the source
    mapped: int
    dtypes: dict[str, int]  # number of mapped tensors by stored dtype
    skipped: tuple[UnmatchedTensor, ...]  # of the source
    initialized: tuple[UnmatchedTensor, ...]  # of the PyTorch model
    notes: tuple[str, ...]  # what was assumed, and which option changes it
    has_class_names: bool = False  # whether the file or the options state the class names
    nms: NMSSettings | None = None  # of a folder that is run; files of weights do not store it


class IncompleteError(ConversionError):
    """Tensors are missing, unexpected or wrong; `problems` holds all of them."""

    def __init__(self, source: Path, variant: str, conversion: Conversion) -> None:
        count, kinds = len(conversion.problems), Counter(each.kind for each in conversion.problems)
        # a tensor of another shape leaves the model's missing
        pruned = kinds["missing"] == kinds["mismatched"] >= max(PRUNED, count - kinds["missing"])
        hint = ". Only shapes differ: channels were pruned, as PaddleSlim does" if pruned else ""
        super().__init__(
            f"{source} does not fit {variant}: {count} problem{'s' * (count > 1)}, in the table; "
            f"nothing was written{hint}"
        )
        self.problems = conversion.problems

    def as_json(self) -> dict[str, Any]:
        return super().as_json() | {"problems": [asdict(problem) for problem in self.problems]}
