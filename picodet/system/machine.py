"""What differs between operating systems: cores, memory, locks, how workers start.

Linux has all of it; macOS has no affinity of processes, Windows neither `resource` nor
`forkserver`.
"""

import multiprocessing
import os
import sys
import threading
from multiprocessing import connection
from multiprocessing.context import BaseContext
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

LOCKED_BYTE = 1 << 30  # beyond the content: on Windows locked bytes cannot be read
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes


def available_cores() -> int:
    """The number of cores that this process may use, or of the machine if that is unknown."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory() -> int | None:
    """Peak memory of this process in bytes; None where the system does not report it."""
    if resource is None:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT


def try_lock(file: IO[bytes]) -> bool:
    """Try to lock a file that is open for writing; whether it succeeded.

    The operating system releases the lock with its process, however that ends. Raises
    OSError where the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            file.seek(LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX, Windows
        return False
    return True


def worker_context(preloaded: str) -> BaseContext:
    """The multiprocessing context for workers: never fork, which may hang with torch's threads.

    preloaded: a module that all workers import; the forkserver loads it once.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["picodet.system.import_path", preloaded])
    return context


def end_with_parent() -> None:
    """End this worker process when the process that started it has ended.

    Starts a thread. The system's parent is the forkserver, which lives as long as its workers.
    """
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)  # nobody is left to report to
