"""A file beside what one process alone may write, locked by the operating system.

The lock ends with its process, however that ends: what a dead one has left is taken over. Where a
file system has no locks, or the folder cannot be written to, no process is kept out.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

from picodet.system.machine import try_lock

SUFFIX = ".lock"
MAX_BYTES = 200  # of what is written into one


class Lock:
    """A lock of one process, until `release`."""

    def __init__(self, path: Path, file: IO[bytes] | None) -> None:
        self._path, self._file = path, file

    def release(self) -> None:
        """The file goes, too; again and again does no harm."""
        if self._file:
            try:  # first of all: once it is closed, it may be another's
                self._path.unlink()
                self._file.close()
            except OSError:  # Windows removes no file that is open
                self._file.close()
                with suppress(OSError):
                    self._path.unlink()
            self._file = None


def acquire(path: Path) -> Lock | None:
    """The lock of `path`, in a file beside it; None where a process that lives has it."""
    lock_path = path.with_name(path.name + SUFFIX)
    while True:
        try:
            file = lock_path.open("ab")
        except OSError:
            return Lock(lock_path, None)
        try:
            if not try_lock(file):
                file.close()
                return None
            if os.path.samestat(os.fstat(file.fileno()), lock_path.stat()):
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
                file.flush()
                return Lock(lock_path, file)
        except FileNotFoundError:  # its holder removed it in between
            pass
        except OSError:
            file.close()
            return Lock(lock_path, None)
        file.close()


def lock_holder(path: Path) -> str:
    """The holder of the lock, as far as that is known."""
    try:
        with path.with_name(path.name + SUFFIX).open("rb") as file:
            owner = file.read(MAX_BYTES).decode(errors="replace")
    except OSError:
        owner = ""
    return owner or "another process"
