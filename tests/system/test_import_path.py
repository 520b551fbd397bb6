"""Installed packages are imported whatever files the working directory has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import picodet
from picodet.system.machine import worker_context

ROOT = Path(__file__).parents[2]
FORK_SERVER = """
import sys
import picodet
from picodet.system.machine import worker_context
def show():
    print(sys.modules["yaml"].__file__)
if __name__ == "__main__":
    del sys.path[0]  # as a console script has it
    process = worker_context("yaml").Process(target=show)
    process.start()
    process.join()
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with files that are named like packages."""
    folder = tmp_path / "workplace"
    folder.mkdir()
    for name in ("click", "numpy", "yaml", "paddle", "torch"):
        (folder / f"{name}.py").write_text(f"raise RuntimeError('{name} of the workplace')")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


def run(*arguments):
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.usefixtures("workplace")
def test_as_a_module():
    assert f"version {picodet.__version__}" in run("-m", "picodet", "--version")


@pytest.mark.skipif(
    worker_context("yaml").get_start_method() != "forkserver", reason="needs a forkserver"
)
def test_workers_of_a_training(workplace):
    (workplace.parent / "main.py").write_text(FORK_SERVER)
    assert Path(run(workplace.parent / "main.py").strip()) == Path(yaml.__file__)


def test_what_somebody_wants_is_imported(workplace, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{workplace}{os.pathsep}{ROOT}")
    text = "import picodet.system.import_path, sys; print(sys.path[0])"
    assert run("-c", text).strip() == str(workplace)
