"""The architecture: layout.py says who may import whom."""

import ast
from pathlib import Path

import pytest
from layout import MAY_IMPORT

PACKAGE = Path(__file__).parent.parent / "picodet"

# where everything meets
COMMANDS = {"cli", "cli_align", "cli_convert", "cli_eval", "cli_export", "cli_train"}
HEAVY = {
    *("cv2", "hotcoco", "numpy", "onnx", "onnxruntime", "openvino", "paddle", "ppdet"),
    *("pycocotools", "rich", "safetensors", "torch", "yaml"),
}
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
    if name_of(path) not in COMMANDS:
        assert ours <= MAY_IMPORT[name_of(path)] | {"errors", "extras", "input_files"}


def test_every_arrow_is_used():
    """A table that allows more than there is would hide the next arrow."""
    for path in FILES:
        if name_of(path) not in COMMANDS:
            imported = imports_of(ast.parse(path.read_text()))
            allowed = {f"picodet.{name}" for name in MAY_IMPORT[name_of(path)]}
            assert allowed <= imported, name_of(path)


@pytest.mark.parametrize("name", ["__init__", "__main__", *COMMANDS, "command", "errors", "params"])
def test_help_needs_nothing_heavy(name):
    tree = ast.parse((PACKAGE / f"{name}.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not {module.split(".")[0] for module in imports_of(tree)} & HEAVY


def test_no_file_does_everything():
    assert max(len(path.read_text().splitlines()) for path in FILES) <= 300


def reached_from(name: str) -> set[str]:
    """Files that are read when this one is imported, and all that these import."""
    reached, waiting = set(), [name]
    while waiting:
        if (current := waiting.pop()) not in reached:
            reached.add(current)
            waiting += MAY_IMPORT.get(current, set()) - {""}
    return reached


def test_paddles_process_needs_no_torch():
    """Nor what else its environment may lack; paddle_process.py starts it."""
    lacking = {"onnx", "onnxruntime", "rich", "safetensors", "torch"}
    for path in FILES:
        servers = ("alignment.paddle_main", "alignment.training_main", "inference.paddle_server")
        if any(name_of(path) in reached_from(server) for server in servers):
            imported = imports_of(ast.parse(path.read_text()))
            assert not {module.split(".")[0] for module in imported} & lacking, name_of(path)


def test_paddle_is_imported_in_its_own_process_only():
    names = {
        name_of(path)
        for path in FILES
        if {"paddle", "ppdet"}
        & {module.split(".")[0] for module in imports_of(ast.parse(path.read_text()))}
    }
    own = ("main", "program", "new_program", "old_program")
    others = {f"alignment.ppdet_{name}" for name in ("model", "recorder", "training")}
    others |= {"alignment.training_main", "inference.paddle_server"}
    assert names == others | {f"alignment.paddle_{name}" for name in own}
