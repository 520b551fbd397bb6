"""Facts from the operating system, and the results where it does not know them."""

import ast
import importlib
import multiprocessing
import os
import sys
from pathlib import Path

import pytest

import picodet
from picodet.evaluation import evaluator
from picodet.system import machine

PACKAGE = Path(picodet.__file__).parent
# not there on macOS or on Windows: who asks for one of them has to do without as well
FEW_HAVE = {
    *("fcntl", "grp", "posix", "pwd", "resource", "termios", "tty"),
    *("fork", "forkpty", "getgid", "geteuid", "getpgid", "getuid", "killpg", "mkfifo", "mknod"),
    *("posix_spawn", "process_cpu_count", "sched_getaffinity", "sched_setaffinity", "setsid"),
    *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2"),
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "pthread_sigmask", "sigwait"),
    *("alarm", "setitimer", "siginterrupt", "forkserver", "prctl", "preexec_fn", "pass_fds"),
}
MAY_ASK = {"machine.py", "decoder_warnings.py"}  # the second on Linux only


def names_in(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
            yield node.module
        elif isinstance(node, ast.keyword):
            yield node.arg
        elif isinstance(node, ast.Constant) and node.value == "forkserver":
            yield node.value


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_one_place_asks_for_what_few_systems_have(path):
    if path.name not in MAY_ASK:
        assert not FEW_HAVE & set(names_in(path))


@pytest.fixture
def elsewhere(monkeypatch):
    """As on Windows."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    importlib.reload(machine)
    yield
    monkeypatch.undo()
    importlib.reload(machine)


def test_what_cannot_be_asked(elsewhere, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert machine.available_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.available_cores() == 1
    assert machine.peak_memory() is None
    assert machine.worker_context("json").get_start_method() == "spawn"


def test_workers_start_without_fork(elsewhere, monkeypatch):
    monkeypatch.delattr(os, "fork", raising=False)
    process = machine.worker_context("json").Process(target=int)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_what_can_be_asked():
    assert 1 <= machine.available_cores() <= (os.cpu_count() or 1)
    assert machine.worker_context("json").get_start_method() in ("forkserver", "spawn")
    most = machine.peak_memory()
    assert most is None or 10_000_000 < most < 1e12


def test_a_file_is_locked_once_until_it_is_closed(tmp_path):
    with (tmp_path / "lock").open("ab") as first, (tmp_path / "lock").open("ab") as second:
        assert machine.try_lock(first)
        assert not machine.try_lock(second)
        first.close()
        assert machine.try_lock(second)


def test_who_has_started_nobody_watches_nobody():
    machine.end_with_parent()  # the main process has no parent of multiprocessing's


def test_an_evaluation_counts_cores_anywhere(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert evaluator.default_threads() == 3
