"""The content of a source once it is read: tensors by name, or a graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from picodet.config import ModelConfig, NMSSettings
from picodet.converter.configure import FileHints
from picodet.graphs.graph import Graph

TORCH_SUFFIXES = (
    ".pth",
    ".pt",
    ".ckpt",
    ".bin",
    ".safetensors",
)  # suffixes of weights that PyTorch saved

NamingScheme = Literal["ppdet", "mmdet", "libreyolo", "picodet"]


@dataclass(frozen=True)
class Origin:
    """Origin of the weights."""

    path: Path  # of the file that holds them
    form: str  # for display
    notes: tuple[str, ...] = ()  # what was selected or found while reading


@dataclass(frozen=True)
class StateDictSource:
    """A checkpoint: tensors by the names of one naming scheme."""

    origin: Origin
    naming: NamingScheme
    arrays: Mapping[str, np.ndarray]
    hints: FileHints
    config: ModelConfig | None = None  # of a file that picodet wrote
    dropped: tuple[str, ...] = ()  # other content of the file, which is not used


@dataclass(frozen=True)
class GraphSource:
    """An export: a graph whose tensors have lost their names."""

    origin: Origin
    graph: Graph
    hints: FileHints
    config: ModelConfig | None = None  # of an export that picodet wrote
    bins: tuple[float, ...] | None = None  # the values of the regression bins, if stored
    ppdet_names: Mapping[str, str] = field(default_factory=dict)  # ppdet's names of some constants
    nms: NMSSettings | None = None  # of a folder's program or its settings
