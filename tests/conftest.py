"""Where the recordings are, and Paddle."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def golden() -> Path:
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real weights, pictures and ppdet's outputs, which are never committed."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the real weights and recordings of {folder}")
    return folder


@pytest.fixture(scope="session")
def paddle_python() -> Path:
    """A Python with paddlepaddle and ppdet, which tests of live references are run with."""
    own = ROOT / ".venv-paddle" / "bin" / "python"
    python = Path(os.environ.get("PICODET_PADDLE_PYTHON", own))
    if not python.is_file() or (python == own and not (own.parents[1] / "installed").is_file()):
        pytest.skip(f"needs Paddle in {python}: make reference, or set PICODET_PADDLE_PYTHON")
    return python
