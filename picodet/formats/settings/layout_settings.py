"""Reads the settings of a layout detection from a YAML or JSON file, with PaddleX's keys.

threshold: {text: 0.4, 8: 0.5}     # by name or number of a class, or one number
layout_nms: true
layout_unclip_ratio: [1.0, 1.0]
layout_merge_bboxes_mode: large

It is what stands under LayoutDetection in PaddleX's pipelines
(paddlex/configs/pipelines/PP-StructureV3.yaml).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from picodet.errors import PicoDetError
from picodet.files import regular_file

SKIPPED = ("module_name", "model_name", "model_dir", "batch_size")  # of PaddleX, not about boxes
MAX_BYTES = 50_000
MAX_DEPTH = 4  # of nested collections


def read_layout_settings(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """The values of the given keys, as they are written; without those that are missing.

    Raises PicoDetError for a file that cannot be read, and for another key.
    """
    try:
        content = _read_yaml(path)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise PicoDetError(f"{path}: not settings of layouts: {error}") from error
    unknown = [key for key in content if key not in (*keys, *SKIPPED)]
    if unknown:
        raise PicoDetError(
            f"{path}: found the key {unknown[0]!r:.100}; expected {', '.join(keys)}, as under "
            "LayoutDetection in PaddleX's pipelines"
        )
    return {key: content[key] for key in keys if key in content}


def _read_yaml(path: Path) -> dict[Any, Any]:
    """The file as plain data. Raises ValueError for one that is large, deep or ambiguous."""
    with regular_file(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes")
    text, depth = content.decode(), 0
    for event in yaml.parse(text):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or isinstance(event, yaml.AliasEvent):
            raise ValueError(f"nested deeper than {MAX_DEPTH}, or with YAML aliases")
    _refuse_duplicate_keys(yaml.compose(text))
    data = yaml.safe_load(text)
    if not isinstance(data, dict):
        raise ValueError(f"found {type(data).__name__}; expected lines of `name: value`")
    return data


def _refuse_duplicate_keys(node: Any) -> None:
    """Raise ValueError for a duplicate key, of which YAML silently takes the last."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        if len(set(map(str, keys))) < len(keys):
            raise ValueError(f"line {node.start_mark.line + 1}: duplicate key")
        for _, child in node.value:
            _refuse_duplicate_keys(child)
