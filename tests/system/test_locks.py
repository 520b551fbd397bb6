"""Only one process holds a lock; a second one learns who holds it."""

import os
import socket
import subprocess
import sys

from picodet.system import locks

HOLD = """if True:
    import sys
    from pathlib import Path
    from picodet.system import locks
    lock = locks.acquire(Path(sys.argv[1]))
    print("has it" if lock else "has not", flush=True)
    sys.stdin.read()
"""


def held_by_another(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == "has it\n"
    return process


def test_the_second_process_is_kept_out_and_knows_by_whom(tmp_path):
    path = tmp_path / "out"
    with held_by_another(path) as process:
        assert locks.acquire(path) is None
        assert locks.lock_holder(path) == f"process {process.pid} on {socket.gethostname()}"
        process.communicate()
    locks.acquire(path).release()


def test_what_a_killed_process_has_left_is_taken_over(tmp_path):
    path = tmp_path / "out"
    with held_by_another(path) as process:
        process.kill()
        process.communicate()
    assert (tmp_path / "out.lock").exists()
    lock = locks.acquire(path)
    assert locks.lock_holder(path) == f"process {os.getpid()} on {socket.gethostname()}"
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_keeps_nobody_out(tmp_path):
    path = tmp_path / "absent" / "out"
    locks.acquire(path).release()
    locks.acquire(path).release()
    assert locks.lock_holder(path) == "another process"


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def unsupported(file):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks, "try_lock", unsupported)
    locks.acquire(tmp_path / "out").release()
    locks.acquire(tmp_path / "out").release()


def test_a_lock_that_is_removed_while_it_is_taken(tmp_path, monkeypatch):
    """The owner has just deleted the locked file: a new one is created."""
    found, once = locks.try_lock, []

    def removed(file):
        if not once:
            (tmp_path / "out.lock").unlink()
        once.append(1)
        return found(file)

    monkeypatch.setattr(locks, "try_lock", removed)
    lock = locks.acquire(tmp_path / "out")
    assert len(once) == 2
    assert locks.acquire(tmp_path / "out") is None
    lock.release()
