"""Inference folders: files beside a program, real folders, and the same read by Paddle."""

import json
import os
import pickle
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle_files as files
import pytest
from work import count_calls

from picodet.config import NMSSettings
from picodet.errors import CheckpointError
from picodet.formats.settings.infer_cfg import read_infer_cfg
from picodet.graphs.graph import Graph, Node, canonicalize
from picodet.graphs.inference_folder import read_folder, read_size, stated_nms, stated_size
from picodet.graphs.program import Program

NAMES = {name: f"backbone.{name}" for name in files.WEIGHTS}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.pdmodel").write_bytes(files.small_pdmodel())
    (tmp_path / "model.pdiparams").write_bytes(files.pdiparams(files.WEIGHTS))
    return tmp_path


def test_a_folder_of_paddle_2(folder):
    (folder / "model.pdiparams.info").write_bytes(files.info(NAMES | {"of_nms": "head.grid"}))
    (folder / "infer_cfg.yml").write_text(files.SETTINGS)
    found = read_folder(folder)
    assert (found.file.name, found.weights.name) == ("model.pdmodel", "model.pdiparams")
    assert found.structured_names == NAMES
    assert (found.settings.size, found.settings.labels) == ((320, 416), ("cat", "dog"))
    assert found.settings.preprocessing.std == (0.1, 0.2, 0.3)
    assert found.program.shapes == {"image": (None, 3, 8, 8)}


def test_a_folder_of_paddle_3(tmp_path):
    (tmp_path / "inference.json").write_bytes(files.small_pir())
    (tmp_path / "inference.pdiparams").write_bytes(files.pdiparams(files.WEIGHTS))
    found = read_folder(tmp_path)
    assert [node.kind for node in canonicalize(found.program.graph).nodes][-1] == "avg_pool"
    assert (found.settings, found.structured_names) == (None, {})


def program(shape, anchors=0):
    """A program of an image of this shape; one of so many anchor points, if it decodes them."""
    constants = {"centers": np.zeros((anchors, 2))} if anchors else {"other": np.zeros(4789)}
    return Program(Graph((), ("image",), (), constants), {"image": shape})


@pytest.fixture
def settings(tmp_path):
    """Of an input of 320 x 416."""
    (tmp_path / "inference.yml").write_text(files.SETTINGS)
    return read_infer_cfg(tmp_path)


@pytest.mark.parametrize(
    ("shape", "anchors", "size"),
    [
        ((None, 3, 480, 480), 0, (480, 480)),
        ((1, 3, 800, 608), 0, (800, 608)),
        ((None, 3, None, None), 4789, (480, 480)),  # 60 * 60 + 30 * 30 + 15 * 15 + 8 * 8
        ((None, 3, None, None), 4788, None),
        ((None, 3, 480, None), 0, None),
        ((None, None), 0, None),
    ],
)
def test_the_size_that_a_program_states(shape, anchors, size):
    assert stated_size(program(shape, anchors), None) == (size, None)


def test_settings_that_agree_with_the_program(settings):
    """320 x 416 has 40 * 52 + 20 * 26 + 10 * 13 + 5 * 7 anchor points, as no square has."""
    for given in (program((1, 3, 320, 416)), program((None, 3, None, None), 2765)):
        assert stated_size(given, settings) == ((320, 416), None)


def test_settings_of_a_program_that_takes_any_size(settings):
    assert stated_size(program((None, 3, None, None)), settings) == ((320, 416), None)


@pytest.mark.parametrize("given", [program((1, 3, 480, 480)), program((1, 3, None, None), 4789)])
def test_settings_that_contradict_the_program(settings, given):
    size, note = stated_size(given, settings)
    assert size == (480, 480)
    assert note == (
        "inference.yml states an input of 320x416, the program one of 480x480, which was used"
    )


def test_the_size_of_a_program_that_only_paddle_can_read(folder, settings):
    assert read_size(folder, None).size == (8, 8)
    (folder / "model.pdmodel").write_bytes(b"while")
    assert read_size(folder, None) == (None, None)
    assert read_size(folder, settings) == ((320, 416), None)


def test_without_weights(folder):
    (folder / "model.pdiparams").unlink()
    with pytest.raises(CheckpointError, match=r"expected model\.pdiparams beside it"):
        read_folder(folder)


def test_weights_without_a_name(folder):
    facts = {"conv_0.w_0": {"structured_name": "conv"}, "bn_0.w": {"stop_gradient": True}}
    (folder / "model.pdiparams.info").write_bytes(pickle.dumps(facts, 2))
    assert read_folder(folder).structured_names == {"conv_0.w_0": "conv"}


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch owned",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected 1 bytes"),
        (b"no pickle", "the pickle opcode"),
        (pickle.dumps([], 2), "not a dictionary of names"),
        (pickle.dumps({"w": 1}, 2), "not a dictionary of names"),
        (pickle.dumps({1: {}}, 2), "as a key"),
        (
            pickle.dumps({"w": RunsCode()}, 2),
            f"it holds {os.name}.system; nothing of it was run",
        ),
        (files.info({"other": "x"}), "none of the weights it names is in the program"),
        (files.info({"conv_0.w_0": "x", "bn_0.w": "x"}), "it gives two weights the same name"),
        (bytes(4_000_001), "more than 4,000,000 bytes"),
    ],
)
def test_invalid_names(folder, monkeypatch, content, message):
    monkeypatch.chdir(folder)
    (folder / "model.pdiparams.info").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_folder(folder)
    assert "model.pdiparams.info: " in str(caught.value)
    assert not (folder / "owned").exists()


ALIASES = "a: &a [1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("[" * 40_000, "nested deeper than 20"),
        ("? " * 20_000, "nested deeper than 20"),
        (ALIASES + files.SETTINGS, "more than 8 aliases"),
        (files.SETTINGS + "x" * 50_000, "more than 50,000 bytes"),
        (files.SETTINGS.replace("cat", "[cat, dog]"), "lists among the names"),
    ],
)
def test_settings_that_expand_when_parsed(folder, settings, message):
    (folder / "infer_cfg.yml").write_text(settings)
    with count_calls(), pytest.raises(CheckpointError, match=message):
        read_folder(folder)


REAL_FOLDERS = [
    "weights/picodet_s_192_pedestrian",
    "reference/picodet_s_416_coco/export_raw_pdmodel/picodet_s_416_coco",
    "reference/picodet_xs_320_coco_lcnet/export_raw_pdmodel/picodet_xs_320_coco_lcnet",
    "reference/picodet_s_416_coco/export_nms/picodet_s_416_coco",
    "reference/picodet_xs_320_coco_lcnet/export_nms/picodet_xs_320_coco_lcnet",
]


def test_the_official_pedestrian_model(shared):
    from picodet.formats import pdparams

    found = read_folder(shared / REAL_FOLDERS[0])
    assert found.settings.size == (192, 192)
    assert len(found.settings.labels) == 80  # of another model: it has one class
    names, constants = found.structured_names, found.program.graph.constants
    assert len(names) == len(constants)
    checkpoint = pdparams.read((shared / REAL_FOLDERS[0]).with_suffix(".pdparams"))
    for variable, name in names.items():
        assert np.array_equal(constants[variable], checkpoint[name]), name


@pytest.mark.parametrize("name", ["picodet_s_416_coco", "picodet_xs_320_coco_lcnet"])
def test_weights_of_all_exports_are_those_of_the_checkpoint(shared, name):
    from picodet.formats import pdparams

    checkpoint = pdparams.read(shared / "reference" / name / f"{name}.pdparams")
    values = {array.tobytes() for array in checkpoint.values()}
    for kind in ("export_raw_pdmodel", "export_nms"):
        found = read_folder(shared / "reference" / name / kind / name)
        constants = found.program.graph.constants
        for node in canonicalize(found.program.graph).nodes:
            if node.kind in ("conv", "batch_norm"):
                assert all(
                    constants[weight].tobytes() in values for weight in node.weights.values()
                )
        for variable, structured in found.structured_names.items():
            if structured in checkpoint:
                assert np.array_equal(constants[variable], checkpoint[structured]), structured


@pytest.mark.slow
@pytest.mark.paddle
def test_paddle_reads_the_same(shared, paddle_python, tmp_path):
    folders = [shared / name for name in REAL_FOLDERS]
    programs = [(str(f / "model"), (f / "model.pdmodel").is_file()) for f in folders]
    script = Path(__file__).parents[1] / "helpers" / "paddle_facts.py"
    subprocess.run([paddle_python, script, json.dumps(programs), tmp_path], check=True)
    for i, (path, (_, old)) in enumerate(zip(folders, programs, strict=True)):
        with np.load(tmp_path / f"{i}.npz") as loaded:
            arrays = dict(loaded)
        theirs, ours = json.loads(str(arrays.pop("facts@"))), read_folder(path).program
        for name, array in arrays.items():
            assert ours.graph.constants[name].dtype == array.dtype
            assert ours.graph.constants[name].tobytes() == array.tobytes()
        (same_as_old if old else same_as_new)(ours, theirs, len(arrays))


def same_as_old(ours, theirs, weights):
    assert len(ours.graph.constants) == weights
    assert tuple(theirs["fetches"]) == ours.graph.outputs
    operators = [op for op in theirs["operators"] if op[0] not in ("feed", "fetch")]
    for (_, operands, results), node in zip(operators, ours.graph.nodes, strict=True):
        assert set(node.inputs) | set(node.weights.values()) == set(operands)
        assert set(node.outputs) <= set(results)


def same_as_new(ours, theirs, weights):
    operators = theirs["operators"]
    assert ours.operators == tuple(name for name, _, _ in operators)
    assert [list(ours.results[name]) for name in ours.graph.outputs] == theirs["fetches"]
    for node in ours.graph.nodes:
        i, _ = ours.results[node.name]
        if operators[i][0] == "builtin.split":
            ((i, _),) = operators[i][1]
        name, operands, scope = operators[i]
        assert node.name.startswith(scope + name.removeprefix("pd_op.").rstrip("_"))
        sources = [list(ours.results[name]) for name in (*node.inputs, *node.weights.values())]
        lists = [operators[result[0]] for result in operands]
        parts = [part for op in lists if op[0] == "builtin.combine" for part in op[1]]
        assert all(result in operands + parts for result in sources)


NMS_OF_SETTINGS = NMSSettings(0.3, 0.5, 400, 50)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ([], NMS_OF_SETTINGS),
        ([{"score_threshold": 0.1, "iou_threshold": 0.7}], NMSSettings(0.1, 0.7)),
        ([vars(NMSSettings())], None),  # ppdet's
    ],
)
def test_the_nms_of_a_program_wins(settings, own, expected):
    nodes = tuple(Node("nms", ("boxes", "scores"), ("kept",), settings=each) for each in own)
    whole = program((None, 3, None, None))
    whole = replace(whole, graph=replace(whole.graph, nodes=nodes))
    assert stated_nms(whole, replace(settings, nms=NMS_OF_SETTINGS)) == expected


def test_a_program_that_states_no_nms():
    assert stated_nms(program((None, 3, None, None)), None) is None
