import pytest

from picodet.system.intervals import IntervalTimer, parse_interval


class Clock:
    """A clock that advances only on request."""

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


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("", 30), ("5", 5), ("0.5", 0.5), ("0", 30), ("-1", 30), ("nan", 30), ("often", 30)],
)
def test_what_the_environment_asks_for(asked, seconds):
    assert parse_interval(asked) == seconds
