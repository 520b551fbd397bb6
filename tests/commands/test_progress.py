"""Lines and bars that show how far a work is."""

import pytest

from picodet.commands import progress
from picodet.system import intervals
from picodet.training.checkpoint import Progress
from picodet.training.trainer import StepLog
from tests.system.test_intervals import Clock

LINE = 30.0  # seconds


@pytest.fixture(autouse=True)
def default_interval(monkeypatch):
    """Instead of what tests/conftest.py sets."""
    monkeypatch.setattr(intervals, "LINE_INTERVAL", LINE)


def test_a_line_now_and_then(capsys):
    clock = Clock()
    move = progress.progress_logger("detecting", "images", clock)
    for done in range(1, 101):
        clock.now += LINE / 40
        move(done, 5000)
    output, error = capsys.readouterr()
    assert output == ""
    assert error.splitlines() == [
        "detecting: 40 of 5,000 images, 1%, 1.3 images/s",
        "detecting: 80 of 5,000 images, 2%, 1.3 images/s",
    ]


def test_without_a_unit_the_share_alone(capsys):
    clock = Clock()
    move = progress.progress_logger("fetching", clock=clock)
    clock.now += LINE
    move(3, 0)  # nobody knows how much there is
    clock.now += LINE
    move(3, 4)
    assert capsys.readouterr().err == "fetching: 75%\n"


def test_where_there_is_no_terminal_every_command_has_them(capsys):
    clock = Clock()
    with progress.progress_bar("detecting", "images", clock) as move:
        move(1, 4)
        clock.now += LINE
        move(2, 4)
    assert capsys.readouterr().err == "detecting: 2 of 4 images, 50%, 0.1 images/s\n"


def test_peak_memory_is_shown_where_it_is_known(monkeypatch):
    monkeypatch.setattr(progress, "peak_memory", lambda: 3 << 29)
    assert progress.memory_used("cpu") == ", 1.5 GiB"
    monkeypatch.setattr(progress, "peak_memory", lambda: None)
    assert progress.memory_used("cpu") == ""


def test_without_a_terminal_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, "peak_memory", lambda: 1 << 30)
    clock = Clock()
    shown = progress.progress_lines("cpu", clock)
    for step in range(1, 61):
        clock.now += LINE / 25
        current = Progress(2, step, 732 + step)
        shown.step(StepLog(current, 300, 366, {"total": 1.5}, 0.04, 16, 2.0, 0.1, step // 50))
    clock.now += LINE
    shown.evaluating(100, 400)
    assert capsys.readouterr().err.splitlines() == [
        "epoch 3/300  step 25/366  total 1.500  lr 0.04  8.0 images/s, 1.0 GiB",
        "epoch 3/300  step 50/366  total 1.500  lr 0.04  1 steps skipped, not finite in half "
        "precision  8.0 images/s, 1.0 GiB",
        "evaluating: 100 of 400 images, 25%, 1.0 images/s",
    ]


def test_only_the_first_process_shows_progress(capsys):
    with progress.progress_line("cpu", first=False) as shown:
        shown.evaluating(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal(monkeypatch):
    """Rich takes standard error for one."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")


def test_a_bar_on_a_terminal(capsys, terminal):
    with progress.progress_bar("detecting", "images") as move:
        move(1, 4)
    output, error = capsys.readouterr()
    assert output == ""
    assert "detecting" in error
    assert "25%" in error


def test_a_bar_of_a_training_on_a_terminal(capsys, terminal):
    with progress.progress_line("cpu", first=True) as shown:
        shown.step(StepLog(Progress(2, 25, 757), 300, 366, {"total": 1.5}, 0.04, 16, 2.0, 0.1, 0))
        shown.evaluating(100, 400)
    error = capsys.readouterr().err
    assert "epoch 3/300" in error
    assert "757/109800" in error
    assert "evaluating 100 of 400 images" in error
