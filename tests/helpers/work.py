"""How much Python does, counted in calls: the same on every machine, and on a busy one.

What is done in C by one call is not seen, nor a loop that calls nothing; both are bounded by the
bytes that they are given.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from cProfile import Profile

# What the longest file may take. Measured: 6.9 million for 48 kB of YAML, 1.4 million for others.
CALLS = 12_000_000


class CallCount:
    calls = 0  # of functions, Python's and C's, by this thread


@contextmanager
def count_calls(maximum: int = CALLS) -> Iterator[CallCount]:
    """Count what is done in the context, and fail where it is more than `most`."""
    count, profile = CallCount(), Profile()  # whose clock nobody looks at
    profile.enable()
    try:
        yield count
    finally:
        profile.disable()
        count.calls = sum(entry.callcount for entry in profile.getstats())
    assert count.calls <= maximum, f"{count.calls:,} calls, where {maximum:,} are enough"
