"""Reads the settings beside the program in a Paddle inference folder.

PaddleDetection calls the file infer_cfg.yml, PaddleX and PaddleOCR 3 inference.yml.
"""

import os
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from picodet.config import Preprocessing, check_input_size
from picodet.errors import CheckpointError
from picodet.files import regular_file
from picodet.formats.inference_folder import SETTINGS_NAMES

MAX_BYTES = 50_000  # with 80 labels it has 1,300; PyYAML needs half a second for 50,000
MAX_ALIASES = 8  # each can double what is written; ppdet writes none
MAX_DEPTH = 20  # PyYAML needs minutes for deeply nested brackets
PARSE_ERRORS = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError),
    *(RecursionError, yaml.YAMLError),
)


@dataclass(frozen=True)
class InferConfig:
    """The settings that an export writes beside a program."""

    file: str  # its name
    size: tuple[int, int]  # height, width
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None  # as listed; an official folder lists those of another model
    model_name: str | None = None  # PaddleX's


def read_infer_cfg(folder: Path) -> InferConfig | None:
    """The settings of a folder; None without a file of SETTINGS_NAMES.

    Raises CheckpointError for an invalid one, and for two that differ.
    """
    found = [_read(folder / name) for name in SETTINGS_NAMES if os.path.lexists(folder / name)]
    if len({replace(settings, file="", model_name=None) for settings in found}) > 1:
        raise CheckpointError(
            f"{folder}: {' and '.join(SETTINGS_NAMES)} differ; expected one of them, that of the "
            "program: remove the other"
        )
    return found[0] if found else None


def _read(path: Path) -> InferConfig:
    part = "Preprocess"
    try:
        content = yaml.safe_load(_read_yaml(path))
        size, preprocessing = _parse_preprocess(content[part])
        part = "label_list"
        labels = _parse_labels(content.get(part))
        part = "Global"
        model_name = (content.get(part) or {}).get("model_name")
        name = model_name if isinstance(model_name, str) else None
        return InferConfig(path.name, size, preprocessing, labels, name)
    except PARSE_ERRORS as error:
        text = f"{type(error).__name__} {error}"
        raise CheckpointError(f"{path}: invalid {part}: {text}") from error


def _read_yaml(path: Path) -> str:
    """The text of the file, checked to be small, flat and almost without aliases."""
    with regular_file(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes")
    text = content.decode()
    depth = aliases = 0
    for event in yaml.parse(text):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > MAX_DEPTH or aliases > MAX_ALIASES:
            raise ValueError(f"nested deeper than {MAX_DEPTH}, or more than {MAX_ALIASES} aliases")
    return text


def _parse_preprocess(steps_list: Any) -> tuple[tuple[int, int], Preprocessing]:
    steps = {str(step["type"]): step for step in steps_list}
    resize, normalize = steps["Resize"], steps["NormalizeImage"]
    if resize.get("keep_ratio"):
        raise ValueError("found keep_ratio, which no PicoDet has")
    if not normalize.get("is_scale", True):
        raise ValueError("found is_scale false, which no PicoDet has")
    height, width = (int(side) for side in resize["target_size"])
    check_input_size((height, width))
    mean, std, interp = _rgb(normalize["mean"]), _rgb(normalize["std"]), resize["interp"]
    if interp not in range(5) or not all(map(isfinite, (*mean, *std))) or min(std) <= 0:
        raise ValueError(f"interp {interp}, mean {mean}, std {std}")
    return (height, width), Preprocessing(mean, std, int(interp))


def _rgb(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _parse_labels(labels: Any) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if not isinstance(labels, list) or not labels:
        raise ValueError(f"found {labels!r:.60}; expected a list of names")
    if any(isinstance(name, list | dict | set | tuple) for name in labels):
        raise ValueError("found lists among the names; expected text")
    return tuple(str(name) for name in labels)
