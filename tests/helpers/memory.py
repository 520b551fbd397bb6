"""Peak memory of a process, where the system counts it."""

import pytest

from picodet.system.machine import peak_memory


def peak() -> int:
    """Peak memory so far, bytes."""
    most = peak_memory()
    if most is None:
        pytest.skip("nobody counts a process's memory here")
    return most
