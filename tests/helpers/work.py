"""Work of Python code, counted in calls: the same on every machine, busy or not.

What is done in C by one call is not seen, nor a loop that calls nothing; both are bounded by the
bytes that they are given.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from cProfile import Profile

# Limit for the longest file. Measured: 6.9 million for 48 kB of YAML, 1.4 million for others.
CALLS = 12_000_000


class CallCount:
    calls = 0  # of Python and C functions, by this thread


@contextmanager
def count_calls(maximum: int = CALLS) -> Iterator[CallCount]:
    """Context manager: count the calls, and fail if they are more than `most`."""
    count, profile = CallCount(), Profile()  # its times are not used
    profile.enable()
    try:
        yield count
    finally:
        profile.disable()
        count.calls = sum(entry.callcount for entry in profile.getstats())
    assert count.calls <= maximum, f"{count.calls:,} calls, where {maximum:,} are enough"
