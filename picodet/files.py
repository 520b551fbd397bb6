"""Files appear whole or not at all."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

from picodet.errors import OutputError


def check_writable(path: Path, overwrite: bool) -> None:
    """Raise OutputError where `path` cannot or must not be written; before any work is done."""
    if path.is_dir():
        raise OutputError(f"{path} is a directory; name a file")
    if (path.exists() or path.is_symlink()) and not overwrite:
        raise OutputError(f"{path} exists already; --overwrite replaces it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the directory {path.parent} cannot be written to")


def check_apart(output: Path, others: Iterable[Path]) -> None:
    """Raise OutputError where `output` would replace another file of the same command."""
    for path in others:
        if output.resolve() == path.resolve():
            raise OutputError(f"{output}: also an input or another output; name another file")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`: renamed to it on success, gone on any error.

    A symbolic link stays one: what it points to is replaced.
    """
    path = path.resolve()
    temporary = path.with_name(f".{crc32(os.fsencode(path.name)):x}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """In UTF-8; replaces what is there."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """For machines; replaces what is there."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def sha256(path: Path) -> str:
    """Of a file, a block at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
