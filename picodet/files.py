"""Files appear whole or not at all, and what is no file stays what it is."""

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

    Raises OutputError where that is unknown: a loop of links, a name that is too long.
    """
    try:
        return _stat(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    except ValueError as error:  # a NUL in it
        raise OutputError(f"{str(path)!r}: no name of a file: {error}") from error


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_writable(path: Path, overwrite: bool) -> None:
    """Raise OutputError where `path` cannot or must not be written; before any work is done.

    A device or a named pipe is written to, and stays what it is.
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
    """Check a folder that files will be written into, and create a missing one."""
    found = stat_or_none(path)
    if found is None:
        _check_parent(path)
    elif not stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{path} is a file; name a folder")
    elif not os.access(path, os.W_OK):
        raise OutputError(f"{path}: the folder cannot be written to")


def check_new_folder(path: Path, overwrite: bool) -> None:
    """Check a folder that will be created as a whole; it may exist and be empty."""
    check_folder(path)
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise OutputError(
            f"{path} holds files already; --overwrite replaces those that are written"
        )
    _check_parent(path)


def _check_parent(path: Path) -> None:
    target = path.resolve() if path.is_symlink() else path
    if not target.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {target.parent}; make it first")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{path}: the folder {target.parent} cannot be written to")


def _is_written_through(path: Path, found: os.stat_result) -> bool:
    """Whether it is no regular file and stays: a character device, a pipe, our standard output.

    Raises OutputError for what is none of these: a folder, a socket, a disk.
    """
    if stat.S_ISREG(found.st_mode):
        return _stream_of(found) is not None
    if stat.S_ISCHR(found.st_mode) or stat.S_ISFIFO(found.st_mode):
        return True
    if stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{path} is a directory; name a file")
    kind = "a socket" if stat.S_ISSOCK(found.st_mode) else "a block device"
    raise OutputError(f"{path} is {kind}, which no result is written to; name a file")


def _stream_of(found: os.stat_result) -> int | None:
    """Of a file that standard output or error goes to: the stream; a file's end is its own."""
    for stream in (1, 2):
        with suppress(OSError):  # it is closed
            if os.path.samestat(found, os.fstat(stream)):
                return stream
    return None


FileIdentity = tuple[int, int] | tuple[int, int, str] | str


def file_identity(path: Path) -> FileIdentity | None:
    """A key that all names of one file share, whichever links lead to it; None if unknown.

    Of a file that is not there yet: its folder and its name, in which case does not count.
    """
    with suppress(OSError, ValueError, RuntimeError):  # the last one of links that go in a circle
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

    A symbolic link stays one: what it points to is replaced. A device and a pipe stay what they
    are: on success the whole is written to them. The permissions are those of any new file, whoever
    writes it: some libraries' are for nobody else to read.
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
    """The same for a folder. Of one that is there the files of the same names are replaced, and
    whatever else it holds stays.
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
    """Give a whole file its name, or write it through what is there and no regular file."""
    found = stat_or_none(path)
    if not (found and _is_written_through(path, found)):
        temporary.replace(path.resolve())
        return
    stream = _stream_of(found)
    if stream is not None:
        sys.stdout.flush()
    # neither made nor cut off: it is there
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
    """In UTF-8; replaces what is there. What is no text, of a file's name, is written escaped."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """For machines; replaces what is there."""
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
    """The path itself, if it is a file that can be read to its end.

    Raises OSError for what is none: not there, a directory, a pipe, a device, a loop of symbolic
    links, a name that no file can have.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  # a path that is a string in disguise as well
    except ValueError as error:  # of a NUL
        raise OSError(errno.EINVAL, f"no file has such a name ({error})") from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "something special")
        raise OSError(errno.EINVAL, f"{kind}; a regular file is expected")
    return path


def unreadable_reason(path: Path) -> str | None:
    """The reason why a path cannot be read as a file; None if it can, as far as is known."""
    try:
        regular_file(path)
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return error.strerror or str(error)
    return None


def read_bytes(path: Path, limit: int) -> bytes:
    """A whole file of up to `limit` bytes. Raises OSError, also for a larger one."""
    with regular_file(path).open("rb") as file:
        content = file.read(min(path.stat().st_size, limit) + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"more than {limit:,} bytes")
    return content
