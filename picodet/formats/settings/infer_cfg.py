"""Reads the settings beside the program in a Paddle inference folder.

PaddleDetection calls the file infer_cfg.yml, PaddleX and PaddleOCR 3 inference.yml.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from picodet.config import NMSSettings, Preprocessing
from picodet.errors import CheckpointError
from picodet.files import regular_file
from picodet.formats.inference_folder import SETTINGS_NAMES
from picodet.formats.settings.preprocess_steps import parse_steps

MAX_BYTES = 50_000  # with 80 labels it has 1,300; PyYAML needs half a second for 50,000
MAX_ALIASES = 8  # each can double what is written; ppdet writes none
MAX_DEPTH = 20  # PyYAML needs minutes for deeply nested brackets
MAX_BOXES = 100_000  # of NMS
PARSE_ERRORS = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError),
    *(RecursionError, yaml.YAMLError),
)


@dataclass(frozen=True)
class InferConfig:
    """The settings that an export writes beside a program."""

    file: str  # its name
    size: tuple[int, int] | None  # of the network's input: height, width
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None  # as listed; an official folder lists those of another model
    model_name: str | None = None  # PaddleX's
    nms: NMSSettings | None = None  # where it is stated
    notes: tuple[str, ...] = ()  # on what cannot be used


def read_infer_cfg(folder: Path) -> InferConfig | None:
    """The settings of a folder; None without a file of SETTINGS_NAMES.

    Steps of preprocessing that picodet does not carry out are noted. Raises CheckpointError for a
    file that holds no settings, and for two that differ.
    """
    found = [_read(folder / name) for name in SETTINGS_NAMES if os.path.lexists(folder / name)]
    if len({replace(settings, file="", model_name=None, notes=()) for settings in found}) > 1:
        raise CheckpointError(
            f"{folder}: {' and '.join(SETTINGS_NAMES)} differ; expected one of them, that of the "
            "program: remove the other"
        )
    return found[0] if found else None


def _read(path: Path) -> InferConfig:
    content = _read_yaml(path)
    steps = parse_steps(content.get("Preprocess"))
    notes = []
    if steps.preprocessing.unsupported:
        notes.append(
            f"{path.name}: its preprocessing has {steps.preprocessing.unsupported}, which picodet "
            "does not carry out: weights are converted, images are not preprocessed"
        )
    nms = _parse_nms(content.get("NMS"))
    if isinstance(nms, str):
        notes.append(f"{path.name}: its NMS has {nms}; ppdet's defaults are used")
        nms = None
    try:
        labels = _parse_labels(content.get("label_list"))
    except PARSE_ERRORS as error:
        raise CheckpointError(f"{path}: invalid label_list: {error}") from error
    names = content.get("Global")
    model_name = names.get("model_name") if isinstance(names, dict) else None
    return InferConfig(
        path.name,
        steps.size,
        steps.preprocessing,
        labels,
        model_name if isinstance(model_name, str) else None,
        nms,
        tuple(notes),
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    """The content of the file: small, flat and almost without aliases, else CheckpointError."""
    try:
        content = yaml.safe_load(_read_text(path))
    except PARSE_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"{path}: cannot be read as settings in YAML: {reason:.300}; expected what an export "
            "of PaddleDetection or PaddleX writes. Without this file the weights can be read too"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: found {content!r:.60}; expected settings such as Preprocess and label_list, "
            "as an export of PaddleDetection or PaddleX writes them. Without this file the weights "
            "can be read too"
        )
    return content


def _read_text(path: Path) -> str:
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


def _parse_nms(settings: Any) -> NMSSettings | str | None:
    """The numbers of NMS, None where they are not stated, or what cannot be used in them."""
    if settings is None:
        return None
    if not isinstance(settings, dict):
        return f"{settings!r:.60}, no settings"
    name = settings.get("name", "MultiClassNMS")
    if name != "MultiClassNMS":
        return f"the name {name!r:.40}, which no PicoDet has"
    limits = {
        "score_threshold": (float, 1),
        "nms_threshold": (float, 1),
        "nms_top_k": (int, MAX_BOXES),
        "keep_top_k": (int, MAX_BOXES),
    }
    own_names = {"nms_threshold": "iou_threshold", "nms_top_k": "top_k"}
    values: dict[str, Any] = {}
    for key, (kind, maximum) in limits.items():
        value = settings.get(key)
        if value is None:
            continue
        if type(value) not in (int, kind) or not (kind is int) <= value <= maximum:
            return f"{key} {value!r:.40}, which is not a number up to {maximum:,}"
        values[own_names.get(key, key)] = kind(value)
    return NMSSettings(**values)


def _parse_labels(labels: Any) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if not isinstance(labels, list) or not labels:
        raise ValueError(f"found {labels!r:.60}; expected a list of names")
    if any(isinstance(name, list | dict | set | tuple) for name in labels):
        raise ValueError("found lists among the names; expected text")
    return tuple(str(name) for name in labels)
