"""Files that are read are regular ones: a pipe waits for ever, a device has no end."""

import errno
import os
import stat
from pathlib import Path

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def regular(path: Path) -> Path:
    """The same path, of a file that can be read to its end.

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


def problem(path: Path) -> str | None:
    """Why it cannot be read; None where it can, as far as its kind and name tell."""
    try:
        regular(path)
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return error.strerror or str(error)
    return None


def read_bytes(path: Path, limit: int) -> bytes:
    """A whole file of up to `limit` bytes. Raises OSError, also for a larger one."""
    with regular(path).open("rb") as file:
        content = file.read(min(path.stat().st_size, limit) + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"more than {limit:,} bytes")
    return content
