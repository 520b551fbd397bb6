"""Fixtures for recordings, real weights and Paddle; the tests' environment."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# on a busy machine a command may take longer than the interval of progress lines
os.environ["PICODET_PROGRESS_SECONDS"] = "1000000"
# what looks like a name of Hugging Face's hub is not asked for, except of a local server
os.environ["HF_HUB_OFFLINE"] = "1"
# OpenCV reports OPENCV_IPP=disabled on standard error, which tests check
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
# no deadlines, for busy machines; in CI the same examples each time, as in Hypothesis's profile
settings.register_profile("unhurried", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("unhurried")

# a shell that starts the tests with `&` ignores Ctrl-C, in all their processes too
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
OPTIONAL = ("onnx", "onnxruntime", "openvino", "tensorboard")  # extras of setup.cfg


class Module(pytest.Module):
    """A test file; it is skipped, with the reason, if an optional package is missing."""

    def collect(self):
        try:
            return super().collect()
        except self.CollectError as error:
            skip_without(error.__cause__)
            raise


def skip_without(error: BaseException | None) -> None:
    """Skip the test if one of OPTIONAL is missing."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in OPTIONAL:
        pytest.skip(f"needs {error.name}, which is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return Module.from_parent(parent, path=module_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    return (yield from _skipped_without())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    return (yield from _skipped_without())


def _skipped_without():
    try:
        return (yield)
    except ModuleNotFoundError as error:
        skip_without(error)
        raise


@pytest.fixture(scope="session")
def golden() -> Path:
    return ROOT / "tests" / "golden"


@pytest.fixture
def portable() -> Iterator[None]:
    """OpenCV without IPP, with which `golden` was recorded: the same on every CPU."""
    from picodet.data.resize_kernels import use_kernels

    with use_kernels("portable"):
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread for torch in this process; a test may set another number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real weights, images and ppdet's outputs, which are never committed."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the real weights and recordings of {folder}")
    return folder


@pytest.fixture(scope="session")
def paddle_python() -> Path:
    """A Python with paddlepaddle and ppdet, in which tests run live references."""
    own = ROOT / ".venv-paddle" / "bin" / "python"
    python = Path(os.environ.get("PICODET_PADDLE_PYTHON", own))
    if not python.is_file() or (python == own and not (own.parents[1] / "installed").is_file()):
        pytest.skip(f"needs Paddle in {python}: make reference, or set PICODET_PADDLE_PYTHON")
    return python


@pytest.fixture(scope="session")
def transformers_python() -> Path:
    """A Python with Hugging Face's transformers, and what picodet needs."""
    own = ROOT / ".venv-transformers" / "bin" / "python"
    if not (own.is_file() and (own.parents[1] / "installed").is_file()):
        pytest.skip(f"needs transformers in {own}: make transformers")
    return own


@pytest.fixture
def fake_paddle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A substitute that the other Python imports as paddle: a few lines of NumPy."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "helpers" / "fake_paddle"))
