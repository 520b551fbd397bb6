"""What a file holds, once it is read: tensors by names, or a graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from picodet.config import ModelConfig
from picodet.converter.configure import FileHints
from picodet.graphs.graph import Graph

TORCH_SUFFIXES = (
    ".pth",
    ".pt",
    ".ckpt",
    ".bin",
    ".safetensors",
)  # suffixes of weights that PyTorch saved

NamingScheme = Literal["ppdet", "mmdet", "picodet"]


@dataclass(frozen=True)
class Origin:
    """Where weights come from."""

    path: Path  # of the file that holds them
    form: str  # for people
    notes: tuple[str, ...] = ()  # what was chosen or found out while reading


@dataclass(frozen=True)
class StateDictSource:
    """A checkpoint: tensors by the names that one of three worlds gives them."""

    origin: Origin
    naming: NamingScheme
    arrays: Mapping[str, np.ndarray]
    hints: FileHints
    config: ModelConfig | None = None  # of a file of ours, which says everything
    dropped: tuple[str, ...] = ()  # what else the file holds, and nobody needs here


@dataclass(frozen=True)
class GraphSource:
    """An export: a graph whose tensors have lost their names."""

    origin: Origin
    graph: Graph
    hints: FileHints
    config: ModelConfig | None = None  # of an export of ours
    bins: tuple[float, ...] | None = None  # what it says that the bins of a side stand for
    ppdet_names: Mapping[str, str] = field(default_factory=dict)  # ppdet's names of some constants
