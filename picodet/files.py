"""Files appear whole or not at all."""

import hashlib
import json
import os
import shutil
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


def check_new_folder(path: Path, overwrite: bool) -> None:
    """The same for a folder, which may be there and empty."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; name a folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise OutputError(
            f"{path} holds files already; --overwrite replaces those that are written"
        )
    if not os.access(path.resolve().parent, os.W_OK):
        raise OutputError(f"{path}: the directory {path.parent} cannot be written to")


def check_apart(output: Path, others: Iterable[Path]) -> None:
    """Raise OutputError where `output` would replace another file of the same command."""
    for path in others:
        if output.resolve() == path.resolve():
            raise OutputError(f"{output}: also an input or another output; name another file")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`: renamed to it on success, gone on any error.

    A symbolic link stays one: what it points to is replaced. The permissions are those of any new
    file, whoever writes it: some libraries' are for nobody else to read.
    """
    path = path.resolve()
    temporary = _beside(path)
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder. Of one that is there the files of the same names are replaced, and
    whatever else it holds stays.
    """
    path = path.resolve()
    temporary = _beside(path)
    try:
        temporary.mkdir()
        yield temporary
        if path.is_dir():
            for file in temporary.iterdir():
                file.replace(path / file.name)
        else:
            temporary.rename(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{crc32(os.fsencode(path.name)):x}.{os.getpid()}.tmp")


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
