"""The process with Paddle; Paddle is faked in a few lines of NumPy, or by shell scripts."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fake_paddle_folders import make_folder
from gated_image import PATIENCE

from picodet.errors import CheckpointError, PicoDetError
from picodet.paddle_process import client
from picodet.paddle_process.client import PaddleProcess

SUM = [("a", (3, 2), "sum"), ("b", (1,), "threads")]
PYTHON = Path(sys.executable)


@pytest.fixture
def folder(tmp_path):
    def folder(outputs=SUM, **more):
        return make_folder(tmp_path / "folder", outputs, **more) / "model.json"

    return folder


@pytest.fixture
def started(fake_paddle, folder):
    """Starts processes that run a program of the fake Paddle and closes them after the test."""
    running = []

    def started(*args, threads=1, **more):
        running.append(PaddleProcess(folder(*args, **more), PYTHON, threads))
        return running[-1]

    yield started
    for process in running:
        process.close()


def image(value):
    return {"image": np.full((1, 3, 64, 64), value, np.float32)}


def pid_of(process):
    return process._process.pid


def is_running(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "State:\tZ" not in status


def has_ended(pid):
    end = time.monotonic() + PATIENCE
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_running(pid)


def test_it_answers_with_all_outputs_in_order(started):
    process = started(threads=3)
    assert (process.inputs, process.outputs) == (["image"], ["a", "b"])
    a, b = process.run(image(1))
    assert a.tolist() == [[3 * 64 * 64.0] * 2] * 3
    assert b.tolist() == [3]
    assert process.run(image(2))[0][0, 0] == 2 * 3 * 64 * 64


def test_several_threads_get_their_own_answers(started):
    process = started([("a", (1,), "sum"), ("large", (300, 1000), 1)])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(process.run, map(image, range(40))))
    assert [a[0] / (3 * 64 * 64) for a, _ in answers] == list(range(40))


def test_what_lies_in_the_working_directory_is_not_imported(started, tmp_path, monkeypatch):
    (tmp_path / "paddle").mkdir()
    for name in ("numpy", "json"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    assert started().inputs == ["image"]


def test_an_error_of_paddle_ends_nothing(started):
    process = started(fail="InvalidArgumentError: too red (at /paddle/red.cc:1)")
    for _ in range(2):
        expected = r"model\.json, run in .*cannot run it on image \[1, 3, 64, 64\]: .* too red$"
        with pytest.raises(PicoDetError, match=expected):
            process.run(image(1))
    assert is_running(pid_of(process))


def test_it_dies_during_a_request(started):
    process = started(die=7)
    with pytest.raises(PicoDetError, match="exit code 7; the last line of its stderr: I am dying"):
        process.run(image(1))
    with pytest.raises(PicoDetError, match=r"used after close\(\)"):
        process.run(image(1))


def test_it_was_killed_before_a_request(started):
    process = started()
    os.kill(pid_of(process), signal.SIGKILL)
    assert has_ended(pid_of(process))
    with pytest.raises(PicoDetError, match="exit code -9"):
        process.run(image(1))


def test_a_program_that_cannot_be_loaded(fake_paddle, folder):
    with pytest.raises(CheckpointError, match=r"model\.json: Paddle cannot load it: \(Bad\) no$"):
        PaddleProcess(folder(refuse="(Bad) no (at /x)"), PYTHON, 1)


def test_it_ends_when_it_is_closed(started):
    process = started()
    process.close()
    assert not is_running(pid_of(process))
    process.close()
    with pytest.raises(PicoDetError, match=r"used after close\(\)"):
        process.run(image(1))


def test_an_interrupt_does_not_reach_it(started):
    """Ctrl-C goes to all processes of a terminal; the client decides when this one ends."""
    process = started()
    os.kill(pid_of(process), signal.SIGINT)
    assert process.run(image(1))[0][0, 0] == 3 * 64 * 64


def test_an_interrupt_while_waiting_ends_it(started, monkeypatch):
    """A response that arrives late must not be taken for that to the next request."""

    def interrupted(_):
        raise KeyboardInterrupt

    process = started()
    monkeypatch.setattr(client, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.run(image(1))
    assert not is_running(pid_of(process))


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_when_this_one_is_killed(fake_paddle, folder, number):
    script = """if True:
        import sys, time
        from pathlib import Path
        from picodet.paddle_process.client import PaddleProcess
        process = PaddleProcess(Path(sys.argv[1]), Path(sys.executable), 1)
        print(process._process.pid, flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", script, str(folder())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(number)
    assert has_ended(child)


def test_a_python_without_paddle(folder):
    with pytest.raises(PicoDetError, match=r"folder: needs paddle, which .*--paddle-python$"):
        PaddleProcess(folder(), PYTHON, 1)


def test_a_python_that_is_not_there(folder, tmp_path):
    with pytest.raises(PicoDetError, match="cannot be started"):
        PaddleProcess(folder(), tmp_path / "absent", 1)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo last words >&2; exit 3", "exit code 3; the last line of its stderr: last words"),
        ("kill -9 $$", "exit code -9; the last line of its stderr: nothing"),
        ("echo 'Paddle says hello'", "not a valid message: unexpected line b'Paddle says hello"),
        ("printf '\\377\\n'", "not a valid message: unexpected line"),
        ("""echo '{"header": {"x": 1}, "arrays": []}'; cat""", "the first message is {'x': 1}"),
        ("""printf '{"header": {}'""", "exit code 0"),
        (
            """echo '{"header": {"inputs": [], "outputs": ["y"]}, "arrays": []}'
               echo '{"header": {}, "arrays": [["z", "float32", [0]]]}'; cat >&2""",
            "the outputs are z; expected y",
        ),
        (
            """echo '{"header": {"inputs": [], "outputs": ["y"]}, "arrays": []}'
               echo 'warning: hot'; cat >&2""",
            "not a valid message: unexpected line b'warning: hot",
        ),
    ],
)
def test_something_else_than_a_server(folder, tmp_path, script, expected):
    with pytest.raises(PicoDetError) as caught:
        PaddleProcess(folder(), shell(tmp_path, script), 1).run(image(1))
    assert expected in str(caught.value)


def shell(tmp_path, script):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return python


GREETING = """echo '{"header": {"inputs": ["image"], "outputs": ["y"]}, "arrays": []}'"""


def test_one_that_does_not_end_is_killed(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "KILL_TIMEOUT", 0.2)
    python = shell(tmp_path, f"{GREETING}\nexec sleep 60")
    process = PaddleProcess(folder(), python, 1)
    process.close()
    assert not is_running(pid_of(process))


def test_one_that_never_answers_is_killed_by_close(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "KILL_TIMEOUT", 0.2)
    process = PaddleProcess(folder(), shell(tmp_path, f"{GREETING}\nexec sleep 60"), 1)
    errors = []

    def ask():
        try:
            process.run(image(1))
        except PicoDetError as error:
            errors.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    while not process._lock.locked():
        time.sleep(0.01)
    process.close()
    asking.join(PATIENCE)
    assert "exit code -9" in errors[0]
