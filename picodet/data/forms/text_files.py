"""Reads the small files of a dataset, which are a stranger's: of bounded size, as plain data."""

import os
from collections.abc import Hashable
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from picodet.data.json_columns import MAX_NUMBER
from picodet.errors import PicoDetError
from picodet.files import read_bytes

MAX_LIST_BYTES = 200_000_000  # of a list of images; a million paths of 100 bytes have half of it
MAX_YAML_BYTES = 50_000  # 1,203 names have 25,000; PyYAML needs half a second for 50,000
MAX_DEPTH = 8  # PyYAML needs minutes for deeply nested brackets
YAML_ERRORS = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError),
    *(RecursionError, yaml.YAMLError),
)


def read_lines(path: Path, limit: int = MAX_LIST_BYTES) -> list[str]:
    """The lines of a text in UTF-8, without spaces around them.

    Raises ValueError with the reason where it cannot be read, or is larger than `limit` bytes.
    """
    try:
        text = read_bytes(path, limit).decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not text in UTF-8: {error.reason} at byte {error.start}") from error
    return [line.strip() for line in text.splitlines()]


def read_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line. Raises PicoDetError for none, and for one that is given twice."""
    try:
        names = tuple(line for line in read_lines(path, MAX_YAML_BYTES) if line)
    except ValueError as error:
        raise PicoDetError(f"{path}: {error}; expected class names, one a line") from error
    return check_names(path, names)


def check_names(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names themselves. Raises PicoDetError for none, and for one that is given twice."""
    if not names:
        raise PicoDetError(f"{path}: found no class names; expected at least one")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise PicoDetError(
            f"{path}: found the class {twice!r:.60} twice; expected each once: rename one of them"
        )
    return names


def read_yaml(path: Path) -> dict[Hashable, Any]:
    """The content of a small, flat YAML without aliases. Raises PicoDetError for any other."""
    try:
        text = read_bytes(path, MAX_YAML_BYTES).decode("utf-8-sig")
        depth = 0
        for event in yaml.parse(text):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH or isinstance(event, yaml.AliasEvent):
                raise ValueError(f"nested deeper than {MAX_DEPTH}, or with YAML aliases")
        content = yaml.safe_load(text)
    except YAML_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PicoDetError(
            f"{path}: cannot be read as a data.yaml: {reason:.300}; expected names, train and val"
        ) from error
    if not isinstance(content, dict):
        raise PicoDetError(
            f"{path}: found {content!r:.60}; expected a data.yaml with names, train and val"
        )
    return content


def number(text: str | None) -> float | None:
    """The finite number that a text states; None for any other text."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if isfinite(value) and abs(value) <= MAX_NUMBER and "_" not in str(text) else None


def seen_from(folder: Path, path: Path) -> Path:
    """An absolute path below the folder as one that begins as the folder does; others unchanged."""
    absolute = Path(os.path.normpath(folder.absolute()))
    if path.is_absolute() and path.is_relative_to(absolute):
        return folder / path.relative_to(absolute)
    return path


def is_inside(name: str) -> bool:
    """Whether a path that a file states stays within the folder that it is relative to."""
    path = Path(os.path.normpath(name))
    return "\0" not in name and not path.is_absolute() and path.parts[:1] != (os.pardir,)
