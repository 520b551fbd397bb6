import pytest

from picodet.commands.common import progress_bar
from picodet.system import intervals
from picodet.system.intervals import IntervalTimer, parse_interval, progress_logger

LINE = 30.0


@pytest.fixture(autouse=True)
def usual(monkeypatch):
    """In place of what tests/conftest.py sets."""
    monkeypatch.setattr(intervals, "LINE_INTERVAL", LINE)


class Clock:
    """Goes when it is told to."""

    now = 1000.0

    def __call__(self):
        return self.now


def test_every_so_often():
    clock = Clock()
    due = IntervalTimer(30, clock)
    results = []
    for _ in range(10):
        results.append(due())
        clock.now += 20
    assert results == [False, False, True, False, True, False, True, False, True, False]


def test_a_line_now_and_then(capsys):
    clock = Clock()
    move = progress_logger("detecting", "images", clock)
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
    move = progress_logger("fetching", clock=clock)
    clock.now += LINE
    move(3, 0)  # nobody knows how much there is
    clock.now += LINE
    move(3, 4)
    assert capsys.readouterr().err == "fetching: 75%\n"


def test_where_there_is_no_terminal_every_command_has_them(capsys):
    clock = Clock()
    with progress_bar("detecting", "images", clock) as move:
        move(1, 4)
        clock.now += LINE
        move(2, 4)
    assert capsys.readouterr().err == "detecting: 2 of 4 images, 50%, 0.1 images/s\n"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("", 30), ("5", 5), ("0.5", 0.5), ("0", 30), ("-1", 30), ("nan", 30), ("often", 30)],
)
def test_what_the_environment_asks_for(asked, seconds):
    assert parse_interval(asked) == seconds
