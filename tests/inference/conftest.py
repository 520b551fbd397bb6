"""The fake Paddle."""

from pathlib import Path

import pytest


@pytest.fixture
def fake_paddle(monkeypatch):
    """What the other Python finds when it imports paddle."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "fake_paddle"))
