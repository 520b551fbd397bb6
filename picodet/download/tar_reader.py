"""Reads the table of a tar archive of a model: regular files below one folder, and nothing else.

A reader of its own, as an archive is a stranger's: links, devices, sparse files and names that lead
out of the folder are refused before anything is written, and numbers are bounded. Formats: POSIX
ustar with extended headers (pax), and GNU's long names (POSIX.1-2017, `pax`; GNU tar's manual).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

from picodet.errors import CheckpointError, one_line
from picodet.files import regular_file

BLOCK = 512  # bytes; everything in an archive begins at a multiple of it
MAX_BYTES = 512_000_000  # of an archive; the largest published one has 31 million
MAX_ENTRIES = 100  # published ones have 6 at most
MAX_HEADER = 10_000  # bytes of an extended header
MAX_NAME = 200  # characters of a path
CHECKSUM = slice(148, 156)

FILES, FOLDER, LONG_NAME, EXTENDED, GLOBAL = (b"0", b"\0"), b"5", b"L", b"x", b"g"
REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    b"S": "a sparse file",
}
# of pax headers: what would change where a file is, or how much of it
REFUSED_KEYS = ("size", "linkpath", "GNU.sparse.")
MACOS_FILES = ("._", ".DS_Store")  # beginnings of the names of metadata, which are left out


class Member(NamedTuple):
    """A file of an archive."""

    name: str  # a relative path, with slashes
    offset: int  # of its first byte
    size: int  # bytes


def is_tar(path: Path) -> bool:
    """Whether a file has the suffix and the mark of a tar archive; a PyTorch `.pth.tar` has not."""
    if path.suffix.lower() != ".tar":
        return False
    try:
        with regular_file(path).open("rb") as file:
            return file.read(BLOCK)[257:262] == b"ustar"
    except OSError:  # who reads the file says why
        return False


def read_members(path: Path) -> list[Member]:
    """The files of an archive, all checked. Raises CheckpointError for any that is refused."""
    try:
        size = regular_file(path).stat().st_size
        if size > MAX_BYTES:
            _refuse(path, f"{size:,} bytes; expected at most {MAX_BYTES:,}")
        with path.open("rb") as file:
            members = list(_members(path, file, size))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    files = [member.name.casefold() for member in members]
    folders = {
        "/".join(parts[:i])
        for parts in (name.split("/") for name in files)
        for i in range(len(parts))
    }
    if len(set(files)) < len(files) or folders & set(files):
        _refuse(path, "two of its files have the same name")
    if not members:
        _refuse(path, "it holds no file")
    return members


def _members(path: Path, file: IO[bytes], size: int) -> Iterator[Member]:
    """The regular files, in their order."""
    position = count = 0
    long_name: str | None = None
    while (header := _header(path, file, position, size)) is not None:
        count += 1
        if count > MAX_ENTRIES:
            _refuse(path, f"more than {MAX_ENTRIES} entries")
        kind, length, start = header[156:157], _octal(path, header[124:136]), position + BLOCK
        position = start + -(-length // BLOCK) * BLOCK
        if start + length > size:
            _refuse(path, "it is cut off")
        if kind in (LONG_NAME, EXTENDED, GLOBAL):
            if length > MAX_HEADER:
                _refuse(path, f"an extended header of {length:,} bytes")
            file.seek(start)
            content = file.read(length)
            if kind == LONG_NAME:
                long_name = _text(path, content.rstrip(b"\0"))
            else:
                keys = _extended(path, content)
                long_name = keys.get("path", long_name) if kind == EXTENDED else long_name
            continue
        name = _checked(path, long_name if long_name is not None else _name(path, header))
        long_name = None
        if kind in REFUSED or kind not in (*FILES, FOLDER):
            _refuse(path, f"{name} is {REFUSED.get(kind, 'something else')}; expected a file")
        if kind in FILES and not name.rsplit("/", 1)[-1].startswith(MACOS_FILES):
            yield Member(name, start, length)


def _header(path: Path, file: IO[bytes], position: int, size: int) -> bytes | None:
    """The header at a position; None at the end of the archive."""
    file.seek(position)
    header = file.read(BLOCK)
    if not header.strip(b"\0") and (len(header) == BLOCK or position == size):
        return None
    if len(header) < BLOCK:
        _refuse(path, "it is cut off")
    checked = header[: CHECKSUM.start] + b" " * 8 + header[CHECKSUM.stop :]
    if sum(checked) != _octal(path, header[CHECKSUM]):
        _refuse(path, "a header is damaged" if position else "not a tar archive")
    return header


def _octal(path: Path, field: bytes) -> int:
    digits = field.strip(b"\0 ")
    if not digits or any(digit not in b"01234567" for digit in digits):
        _refuse(path, f"the number {field!r}; expected octal digits")
    return int(digits, 8)


def _name(path: Path, header: bytes) -> str:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    posix = header[257:263] == b"ustar\0"
    return _text(path, prefix + b"/" + name if posix and prefix else name)


def _extended(path: Path, content: bytes) -> dict[str, str]:
    """The keys and values of a pax header: lines of `LENGTH KEY=VALUE`."""
    found = {}
    while content.strip(b"\0"):
        length, _, _ = content[:8].partition(b" ")
        end = int(length) if length.isdigit() else 0
        key, equals, value = content[len(length) + 1 : end].rstrip(b"\n").partition(b"=")
        if not equals or end > len(content):
            _refuse(path, "an extended header is damaged")
        name = _text(path, key)
        if name.startswith(REFUSED_KEYS):
            _refuse(path, f"an extended header with {name}; expected plain files")
        found[name] = value
        content = content[end:]
    return {name: _text(path, value) for name, value in found.items() if name == "path"}


def _text(path: Path, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        _refuse(path, f"the name {value[:60]!r}, which is not UTF-8")


def _checked(path: Path, name: str) -> str:
    """The name without `.` in it. Raises CheckpointError for one that may lead elsewhere."""
    parts = [part for part in name.rstrip("/").split("/") if part != "."]
    outside = name.startswith("/") or ".." in parts or "" in parts[:-1]
    if outside or set(name) & set('\\:*?"<>|') or not name.isprintable() or len(name) > MAX_NAME:
        _refuse(path, f"the name {one_line(name)[:MAX_NAME]!r}; expected one inside a folder")
    return "/".join(parts)


def _refuse(path: Path, found: str) -> NoReturn:
    raise CheckpointError(
        f"{path}: {found}. Expected a tar archive of an inference folder, as PaddleX publishes it; "
        "nothing was unpacked"
    )
