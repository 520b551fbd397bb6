"""What a training shows while it runs."""

import pytest

from picodet.system import intervals
from picodet.training import progress
from picodet.training.checkpoint import Progress
from picodet.training.trainer import StepLog
from tests.system.test_intervals import LINE, Clock


def test_memory_is_told_where_somebody_counts_it(monkeypatch):
    monkeypatch.setattr(progress, "peak_memory", lambda: 3 << 29)
    assert progress.memory_used("cpu") == ", 1.5 GiB"
    monkeypatch.setattr(progress, "peak_memory", lambda: None)
    assert progress.memory_used("cpu") == ""


@pytest.fixture(autouse=True)
def usual(monkeypatch):
    """In place of what tests/conftest.py sets."""
    for module in (intervals, progress):
        monkeypatch.setattr(module, "LINE_INTERVAL", LINE)


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


def test_only_the_first_process_tells(capsys):
    with progress.progress_line("cpu", first=False) as shown:
        shown.evaluating(1, 2)
    assert capsys.readouterr() == ("", "")
