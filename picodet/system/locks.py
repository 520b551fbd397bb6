"""Lock files beside what only one process may write, locked by the operating system.

The lock ends with its process, however that ends: the file of a dead one is taken over. Where a
file system has no locks, or the folder is not writable, no process is kept out.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

from picodet.system.machine import try_lock

SUFFIX = ".lock"
MAX_BYTES = 200  # of the text in a lock file


class Lock:
    """A lock that this process holds until `release`."""

    def __init__(self, path: Path, file: IO[bytes] | None) -> None:
        self._path, self._file = path, file

    def release(self) -> None:
        """Release the lock and delete its file; may be called again."""
        if self._file:
            try:  # before closing it, after which it may be another process's
                self._path.unlink()
                self._file.close()
            except OSError:  # Windows does not delete open files
                self._file.close()
                with suppress(OSError):
                    self._path.unlink()
            self._file = None


def acquire(path: Path) -> Lock | None:
    """Lock `path` by a file beside it; None where a running process holds the lock."""
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
        except FileNotFoundError:  # its holder deleted it meanwhile
            pass
        except OSError:
            file.close()
            return Lock(lock_path, None)
        file.close()


def lock_holder(path: Path) -> str:
    """A description of the process that holds the lock, if known."""
    try:
        with path.with_name(path.name + SUFFIX).open("rb") as file:
            owner = file.read(MAX_BYTES).decode(errors="replace")
    except OSError:
        owner = ""
    return owner or "another process"
