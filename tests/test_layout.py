"""The architecture: who may import whom, file by file. `errors` is open to all."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "picodet"

MAY_IMPORT = {
    "": {"detection", "models.checkpoint", "postprocess"},  # the public names
    "cells": {"config"},
    "class_names": set(),
    "config": {"class_names"},
    "errors": set(),
    "files": set(),
    "nms": set(),
    # weights: checkpoint -> arrays -> rules -> weights, without torch
    "converter.array_pickle": {"converter.pickle_reader"},
    "converter.convert": {"converter.one_sided", "converter.precision", "converter.rules"},
    "converter.configure": {"class_names", "config", "converter.recognise"},
    "converter.one_sided": {"cells", "converter.precision"},
    "converter.pdparams": {"converter.array_pickle", "converter.pickle_reader"},
    "converter.pickle_reader": set(),
    "converter.precision": set(),
    "converter.recognise": {"config", "converter.rules"},
    "converter.rules": set(),
    # models
    "models.layers": set(),
    "models.esnet": {"config", "models.layers"},
    "models.csp_pan": {"models.layers"},
    "models.head": {"models.layers"},
    "models.picodet": {"config", "models.csp_pan", "models.esnet", "models.head"},
    "models.checkpoint": {"", "config", "files", "models.esnet", "models.picodet"},
    # pictures: file -> preprocess -> model -> decode -> detections
    "data.pictures": {"files"},
    "data.jpeg": set(),
    "data.preprocess": {"config", "data.jpeg"},
    "postprocess": {"cells", "models.head", "nms"},
    "detection": {"data.preprocess", "models.picodet", "postprocess"},
    "drawing": {"postprocess"},
    "gallery": {
        *("data.pictures", "data.preprocess", "detection", "drawing"),
        *("models.picodet", "postprocess"),
    },
    # where the streams meet
    "port": {
        *("config", "converter.convert", "converter.configure", "converter.one_sided"),
        *("converter.pdparams", "converter.recognise", "converter.rules", "files"),
        *("models.checkpoint", "models.esnet", "models.picodet"),
    },
    "conversion_table": {"converter.convert", "port"},
    "detection_table": {"gallery"},
    "__main__": {"cli"},
}
HEAVY = {"cv2", "numpy", "onnxruntime", "paddle", "rich", "safetensors", "torch"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.stat().st_size)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__")


def imports_of(tree: ast.AST) -> set[str]:
    """Full names of the modules that are imported; `picodet.` for the package itself."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = (PACKAGE.parent / full.replace(".", "/")).with_suffix(".py").is_file()
                found.add(full if is_module else node.module)
    return {"picodet." if name == "picodet" else name for name in found}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_only_what_it_may(path):
    imported = imports_of(ast.parse(path.read_text()))
    ours = {name.removeprefix("picodet.") for name in imported if name.startswith("picodet.")}
    if name_of(path) != "cli":
        assert ours <= MAY_IMPORT[name_of(path)] | {"errors"}


def test_every_arrow_is_used():
    """A table that allows more than there is would hide the next arrow."""
    for path in FILES:
        if name_of(path) != "cli":
            imported = imports_of(ast.parse(path.read_text()))
            allowed = {f"picodet.{name}" for name in MAY_IMPORT[name_of(path)]}
            assert allowed <= imported, name_of(path)


@pytest.mark.parametrize("name", ["__init__", "__main__", "cli", "errors"])
def test_help_needs_nothing_heavy(name):
    tree = ast.parse((PACKAGE / f"{name}.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not {module.split(".")[0] for module in imports_of(tree)} & HEAVY


def test_no_file_does_everything():
    assert max(len(path.read_text().splitlines()) for path in FILES) <= 300
