"""What a Paddle inference folder says of itself beside its program: infer_cfg.yml."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from picodet.config import Preprocessing, check_input_size
from picodet.errors import CheckpointError

NAME = "infer_cfg.yml"
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError),
    *(RecursionError, yaml.YAMLError),
)


@dataclass(frozen=True)
class FolderSettings:
    """What ppdet's export writes beside a program."""

    size: tuple[int, int]  # height, width
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None  # as listed; an official folder lists those of another model


def read_settings(folder: Path) -> FolderSettings | None:
    """None where there is no infer_cfg.yml. CheckpointError for one that cannot be understood."""
    path = folder / NAME
    if not path.is_file():
        return None
    part = "Preprocess"
    try:
        content = yaml.safe_load(path.read_text())
        size, preprocessing = _preprocess(content[part])
        part = "label_list"
        return FolderSettings(size, preprocessing, _labels(content.get(part)))
    except UNREADABLE as error:
        text = f"{type(error).__name__} {error}"
        raise CheckpointError(f"{path}: its {part} cannot be understood: {text}") from error


def _preprocess(listed: Any) -> tuple[tuple[int, int], Preprocessing]:
    steps = {str(step["type"]): step for step in listed}
    resize, normalise = steps["Resize"], steps["NormalizeImage"]
    if resize.get("keep_ratio"):
        raise ValueError("keep_ratio, which no PicoDet has")
    if not normalise.get("is_scale", True):
        raise ValueError("is_scale false, which no PicoDet has")
    height, width = (int(side) for side in resize["target_size"])
    check_input_size((height, width))
    mean, std, interp = _three(normalise["mean"]), _three(normalise["std"]), resize["interp"]
    if interp not in range(5) or not all(map(isfinite, (*mean, *std))) or min(std) <= 0:
        raise ValueError(f"interp {interp}, mean {mean}, std {std}")
    return (height, width), Preprocessing(mean, std, int(interp))


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _labels(listed: Any) -> tuple[str, ...] | None:
    if listed is None:
        return None
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"a list of names is expected, found {listed!r:.60}")
    return tuple(str(name) for name in listed)
