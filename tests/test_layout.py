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
    "command": {"files"},
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
# picodet.alignment; a name that begins with a dot is of the same folder
ALIGNMENT = {
    # plain values
    ".comparison": set(),
    ".index": set(),
    ".order": {".index"},
    ".paired": {".comparison", ".index"},
    ".probes": {"cells"},
    # recordings
    ".recording": {".index"},
    ".recording_writer": {".index", "files"},
    ".network_input": {"config"},
    ".input_entries": {".index", ".network_input", ".recording_writer"},
    ".versions": {""},
    # whatever is a reference -> a recording
    ".session": {
        *(".align", ".compared", ".comparison", ".onnx_model", ".order", ".probes", ".recording"),
        *(".reference", "files", "models.checkpoint"),
    },
    ".reference": {
        *(".index", ".inference_folder", ".network_input", ".onnx_recorder", ".order"),
        *(".paddle_process", "config", "data.preprocess"),
    },
    ".inference_folder": {".index", "config"},
    ".paddle_process": {"", ".order"},
    ".onnx_recorder": {
        *(".network_input", ".onnx_graph", ".order", ".recording_writer", ".static_record"),
        *(".versions", "files"),
    },
    ".onnx_graph": {".graph", ".recording_writer", ".static_record"},
    # in Paddle's own process, see test_paddles_process_needs_no_torch
    ".paddle_main": {
        *(".index", ".input_entries", ".network_input", ".order", ".paddle_program"),
        *(".ppdet_model", ".ppdet_recorder", ".probes", ".recording_writer", ".static_record"),
        *(".versions", "config", "converter.configure", "converter.pdparams"),
        *("converter.precision", "files"),
    },
    ".ppdet_model": {"config"},
    ".ppdet_recorder": {
        *(".index", ".network_input", ".ppdet_model", ".probes", ".recording_writer", "config"),
        "data.preprocess",
    },
    ".paddle_program": {
        *(".paddle_new_program", ".paddle_old_program", ".recording_writer", ".static_record"),
    },
    ".paddle_new_program": {".graph", ".paddle_old_program"},
    ".paddle_old_program": {".graph"},
    # static graphs
    ".graph": {".index"},
    ".ending": {".graph"},
    ".static_record": {
        *(".ending", ".graph", ".index", ".input_entries", ".network_input", ".order"),
        ".recording_writer",
    },
    # which layer is which
    ".layered": {".comparison", ".index", ".paired", "converter.one_sided", "converter.rules"},
    ".tracing": {".index", "config", "models.layers", "models.picodet"},
    ".matching": {".index"},
    ".places": {".index", ".matching", ".tracing"},
    ".pairing": {".comparison", ".index", ".matching", ".paired", ".tracing", "config"},
    # the rungs
    ".align": {
        *(".compared", ".comparison", ".diagnosis", ".endings", ".gap", ".index", ".layered"),
        *(".layers", ".own_ending", ".pairing", ".preprocessing", ".probing", ".recorded"),
        *(".recording", ".suppression", ".versions", ".wording", "config", "converter.rules"),
        *("files", "models.head", "models.picodet"),
    },
    ".compared": {
        *(".comparison", ".gap", ".layers", ".own_ending", ".paired", ".recorded", ".recording"),
        *(".replay", ".weights", "models.picodet"),
    },
    ".gap": {".comparison"},
    ".recorded": {".comparison", ".gap", ".index", ".paired", ".recording"},
    ".lanes": set(),
    ".layers": {
        *(".comparison", ".gap", ".lanes", ".layered", ".paired", ".recorded", "models.picodet"),
    },
    ".weights": {
        *(".comparison", ".gap", ".index", ".paired", ".recording", ".weight_diagnosis"),
        *("converter.one_sided", "models.layers"),
    },
    ".preprocessing": {".comparison", ".index", ".recording", "config", "data.preprocess"},
    ".endings": {
        *(".comparison", ".decoding_diagnosis", ".gap", ".recorded", ".wording", "config"),
        *("models.head", "models.picodet", "postprocess"),
    },
    ".own_ending": {
        ".probes",
        *(".comparison", ".decoding_diagnosis", ".endings", ".gap", ".recorded", ".suppression"),
        *("models.head", "models.picodet"),
    },
    ".suppression": {
        *(".comparison", ".recorded", ".wording", "models.head", "models.picodet", "nms"),
        "postprocess",
    },
    ".probing": {
        *(".comparison", ".decoding_diagnosis", ".gap", ".index", ".probes", ".recording"),
        *(".suppression", "config", "data.preprocess", "models.head", "postprocess"),
    },
    # an ONNX in the place of a model
    ".onnx_model": {
        *(".comparison", ".ending", ".gap", ".graph", ".layers", ".onnx_config", ".onnx_ending"),
        *(".onnx_graph", ".onnx_pieces", ".onnx_runs", ".onnx_suspect", ".onnx_weights"),
        *(".own_ending", ".paired", ".pairing", ".places", ".recorded", ".recording", ".replay"),
        *(".tracing", "models.picodet"),
    },
    ".onnx_config": {
        "converter.recognise",
        *(".graph", ".onnx_graph", "class_names", "config", "models.checkpoint", "models.picodet"),
    },
    ".onnx_weights": {
        *(".comparison", ".gap", ".graph", ".index", ".paired", ".places", ".recording"),
        *(".tracing", ".weight_diagnosis", ".weights", "config", "models.layers", "models.picodet"),
    },
    ".onnx_pieces": {".onnx_graph"},
    ".onnx_runs": {".index", ".lanes", ".onnx_pieces", ".places", ".recorded", ".tracing"},
    ".onnx_ending": {".ending", ".endings", ".onnx_pieces", ".own_ending", "models.head"},
    # why a layer is guilty
    ".weight_diagnosis": {".index"},
    ".decoding_diagnosis": {"config", "models.head"},
    ".diagnosis": {
        *(".block_diagnosis", ".comparison", ".gap", ".lanes", ".recorded", ".replay"),
        *(".weight_diagnosis", "models.picodet"),
    },
    ".replay": {".index", ".lanes", ".leaf_diagnosis", ".recorded", "models.picodet"},
    ".onnx_suspect": {
        *(".index", ".onnx_graph", ".onnx_runs", ".replay", ".tracing", "models.picodet"),
    },
    ".leaf_diagnosis": {"models.layers"},
    ".block_diagnosis": {"models.layers"},
    # how it is shown
    ".wording": {".comparison"},
    ".as_json": {".comparison"},
    ".blocks": {".comparison"},
    ".table": {".blocks", ".comparison", ".wording"},
    ".page": {
        *(".blocks", ".comparison", ".page_depth", ".page_layers", ".page_markup", ".page_network"),
        ".wording",
    },
    ".page_depth": {".blocks", ".comparison", ".page_markup", ".wording"},
    ".page_layers": {
        *(".blocks", ".comparison", ".page_markup", ".page_network", ".page_pictures", ".wording"),
    },
    ".page_network": {".blocks", ".comparison", ".page_markup", ".wording"},
    ".page_pictures": {".comparison", ".wording"},
    ".page_markup": set(),
}


def in_full(name: str) -> str:
    return f"alignment{name}" if name.startswith(".") else name


MAY_IMPORT |= {in_full(name): set(map(in_full, allowed)) for name, allowed in ALIGNMENT.items()}
COMMANDS = {"cli", "cli_align"}  # where everything meets
HEAVY = {
    *("cv2", "numpy", "onnx", "onnxruntime", "paddle", "ppdet", "rich", "safetensors", "torch"),
    "yaml",
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
        assert ours <= MAY_IMPORT[name_of(path)] | {"errors"}


def test_every_arrow_is_used():
    """A table that allows more than there is would hide the next arrow."""
    for path in FILES:
        if name_of(path) not in COMMANDS:
            imported = imports_of(ast.parse(path.read_text()))
            allowed = {f"picodet.{name}" for name in MAY_IMPORT[name_of(path)]}
            assert allowed <= imported, name_of(path)


@pytest.mark.parametrize("name", ["__init__", "__main__", "cli", "cli_align", "command", "errors"])
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
        if name_of(path) in reached_from("alignment.paddle_main"):
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
    ppdet = {"alignment.ppdet_model", "alignment.ppdet_recorder"}
    assert names == ppdet | {f"alignment.paddle_{name}" for name in own}
