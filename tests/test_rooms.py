"""The layout of the package: few modules in a folder, each of a size that can be read."""

import ast
from pathlib import Path

import pytest

import picodet

PACKAGE = Path(picodet.__file__).parent
FOLDERS = sorted(
    path for path in (PACKAGE, *PACKAGE.rglob("*")) if path.is_dir() and path.name != "__pycache__"
)
MAX_TOP_LEVEL = 10  # files directly in picodet/
MAX_MODULES = 20  # in any folder, without its __init__
MAX_LINES = 300
LONGER = {
    "api.py": "one public function per command, and what each accepts, returns and raises",
    "alignment/checks/layers.py": "one comparison of layers, from their calls to its result",
    "training/trainer.py": "one training loop",
}


def lines_of(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def test_few_files_at_the_top():
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_TOP_LEVEL


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_folder_is_one_documented_idea(folder):
    init = folder / "__init__.py"
    assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))
    assert len([path for path in folder.glob("*.py") if path != init]) <= MAX_MODULES


def test_long_files_have_a_reason():
    long = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if lines_of(path) > MAX_LINES
    }
    assert long <= LONGER.keys()
