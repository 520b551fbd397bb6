"""Atomic writes: files appear whole or not at all; devices and pipes stay what they are."""

import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from picodet.errors import OutputError


def stat_or_none(path: Path) -> os.stat_result | None:
    """The status of a path, links resolved; None if nothing is there.

    Raises OutputError where it cannot be determined: a loop of links, a name that is too long.
    """
    try:
        return _stat(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    except ValueError as error:  # a NUL in it
        raise OutputError(f"{str(path)!r}: not a valid file name: {error}") from error


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_writable(path: Path, overwrite: bool) -> None:
    """Raise OutputError where `path` cannot or must not be written; before any work is done.

    A device or a named pipe is written to directly.
    """
    found = stat_or_none(path)
    if found and _is_written_through(path, found):
        if not os.access(path, os.W_OK):
            raise OutputError(f"{path}: cannot be written to")
        return
    if (found or path.is_symlink()) and not overwrite:
        raise OutputError(f"{path} exists already; --overwrite replaces it")
    _check_parent(path)


def check_folder(path: Path) -> None:
    """Check a folder that files will be written into, and create it if it is missing.

    Raises OutputError where that is impossible.
    """
    found = stat_or_none(path)
    if found is None:
        _check_parent(path)
    elif not stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{path} is a file; name a folder")
    elif not os.access(path, os.W_OK):
        raise OutputError(f"{path}: the folder cannot be written to")


def check_new_folder(path: Path, overwrite: bool) -> None:
    """Raise OutputError where a whole folder cannot be created; it may exist and be empty."""
    check_folder(path)
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise OutputError(
            f"{path} holds files already; --overwrite replaces those that are written"
        )
    _check_parent(path)


def _check_parent(path: Path) -> None:
    target = path.resolve() if path.is_symlink() else path
    if not target.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {target.parent}; create it first")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{path}: the folder {target.parent} cannot be written to")


def _is_written_through(path: Path, found: os.stat_result) -> bool:
    """Whether `path` is written to directly: a character device, a pipe, our standard output.

    Raises OutputError for a folder, a socket or a disk.
    """
    if stat.S_ISREG(found.st_mode):
        return _stream_of(found) is not None
    if stat.S_ISCHR(found.st_mode) or stat.S_ISFIFO(found.st_mode):
        return True
    if stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{path} is a directory; name a file")
    kind = "a socket" if stat.S_ISSOCK(found.st_mode) else "a block device"
    raise OutputError(f"{path} is {kind}; a regular file is expected, name another path")


def _stream_of(found: os.stat_result) -> int | None:
    """The number of the standard stream that goes to this file; None if there is none."""
    for stream in (1, 2):
        with suppress(OSError):  # it is closed
            if os.path.samestat(found, os.fstat(stream)):
                return stream
    return None


FileIdentity = tuple[int, int] | tuple[int, int, str] | str


def file_identity(path: Path) -> FileIdentity | None:
    """A key that all names of one file share, links included; None if unknown.

    For a file that does not exist yet: its folder and its name without regard to case.
    """
    with suppress(OSError, ValueError, RuntimeError):  # RuntimeError: a loop of links
        if found := _stat(path):
            return found.st_dev, found.st_ino
        target = path.resolve()
        if folder := _stat(target.parent):
            return folder.st_dev, folder.st_ino, target.name.casefold()
        return str(target).casefold()
    return None


def check_distinct(output: Path, others: Iterable[Path]) -> None:
    """Raise OutputError where `output` would replace another file of the same command."""
    own = file_identity(output)
    for path in others:
        if own is not None and own == file_identity(path):
            raise OutputError(f"{output}: also an input or another output; name another file")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`: renamed to it on success, gone on any error.

    A symbolic link stays one: its target is replaced. To a device or a pipe the content is written
    on success. The permissions are those of any new file, also where a library creates its files
    unreadable for others. Raises OutputError where it cannot be written.
    """
    found = stat_or_none(path)
    if found and _is_written_through(path, found):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / path.name
            with _disk_errors(path, temporary):
                yield temporary
                _move_into_place(temporary, path)
        return
    path = path.resolve()
    temporary = _temporary_path(path)
    try:
        with _disk_errors(path, temporary):
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)
            _move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, renamed to it on success, gone on any error.

    In an existing folder files of the same names are replaced, and all others stay.
    """
    stat_or_none(path)
    path = path.resolve()
    temporary = _temporary_path(path)
    try:
        with _disk_errors(path, temporary):
            temporary.mkdir()
            yield temporary
            if path.is_dir():
                made = list(temporary.iterdir())
                for file in made:  # all or none
                    check_writable(path / file.name, overwrite=True)
                for file in made:
                    _move_into_place(file, path / file.name)
            else:
                temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(temporary: Path, path: Path) -> None:
    """Rename a complete file to `path`, or write its content to the device or pipe there."""
    found = stat_or_none(path)
    if not (found and _is_written_through(path, found)):
        temporary.replace(path.resolve())
        return
    stream = _stream_of(found)
    if stream is not None:
        sys.stdout.flush()
    # neither created nor truncated
    target = os.open(path, os.O_WRONLY) if stream is None else os.dup(stream)
    with temporary.open("rb") as source, open(target, "wb") as file:  # noqa: PTH123 (a number)
        shutil.copyfileobj(source, file, 1 << 20)


@contextmanager
def _disk_errors(path: Path, temporary: Path) -> Iterator[None]:
    """Turn an OSError on this file into an OutputError; one on another file stays as it is."""
    try:
        yield
    except OSError as error:
        about = Path(error.filename) if isinstance(error.filename, str | Path) else path
        if not {about, *about.parents} & {path, temporary}:
            raise
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _temporary_path(path: Path) -> Path:
    return path.with_name(f".{crc32(os.fsencode(path.name)):x}.{os.getpid()}.tmp")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, replacing the file; undecodable bytes of file names are written escaped."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, replacing the file."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, read block by block."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def regular_file(path: Path) -> Path:
    """The path itself, if it is a regular file.

    Raises OSError otherwise: missing, a directory, a pipe, a device, a loop of symbolic links, an
    invalid name.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  # a path may be a plain string
    except ValueError as error:  # a NUL in it
        raise OSError(errno.EINVAL, f"not a valid file name ({error})") from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "something special")
        raise OSError(errno.EINVAL, f"{kind}; a regular file is expected")
    return path


def unreadable_reason(path: Path) -> str | None:
    """The reason why a path cannot be read as a file; None if there is no known one."""
    try:
        regular_file(path)
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return error.strerror or str(error)
    return None


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file of up to `limit` bytes. Raises OSError, also for a larger one."""
    with regular_file(path).open("rb") as file:
        content = file.read(min(path.stat().st_size, limit) + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"more than {limit:,} bytes")
    return content
