"""What a process has taken, where the system counts it."""

import pytest

from picodet.system.machine import peak_memory


def peak() -> int:
    """The most so far, bytes."""
    most = peak_memory()
    if most is None:
        pytest.skip("nobody counts a process's memory here")
    return most
