"""Timers for periodic actions, such as lines of progress."""

import os
import time
from collections.abc import Callable

Clock = Callable[[], float]  # seconds since any fixed time
INTERVAL_VARIABLE = "PICODET_PROGRESS_SECONDS"  # environment variable, sets LINE_INTERVAL


def parse_interval(text: str) -> float:
    """Seconds; 30 if the text is not a number above 0."""
    try:
        seconds = float(text)
    except ValueError:
        return 30.0
    return seconds if seconds > 0 else 30.0


LINE_INTERVAL = parse_interval(os.environ.get(INTERVAL_VARIABLE, ""))  # seconds between lines


class IntervalTimer:
    """Calls return True once per interval: so many seconds after the last True or the creation."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self.seconds, self._clock, self._since = seconds, clock, clock()

    def __call__(self) -> bool:
        now = self._clock()
        if now - self._since < self.seconds:
            return False
        self._since = now
        return True
