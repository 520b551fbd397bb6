"""Damaged files of every form, through the one door that all of them take."""

import json
import pickle
import struct
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import bad_files
import numpy as np
import onnx
import pytest
import torch
from bad_files import check, forms
from hypothesis import given, settings
from hypothesis import strategies as st

from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_file
from picodet.errors import PicoDetError

PLACES = [(form, name) for form, whole in forms().items() for name in whole.files]
NUMBERS = [0, 1, 127, 255, 2**16, 2**31 - 1, 2**32 - 1, 10**10, 2**63 - 1, 2**64 - 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A module's only one: Hypothesis has thousands of files."""
    bad_files.warm_up()
    return tmp_path_factory.mktemp("bad")


@pytest.fixture(scope="module")
def written(folder):
    def write(form, **changed):
        for path in folder.iterdir():
            path.unlink()
        return form.write(folder, **changed)

    return write


@st.composite
def damaged(draw, whole: bytes) -> bytes:
    """Cut, bits flipped, a number written over, a part twice or left out."""
    at = draw(st.integers(0, len(whole) - 1))
    end = draw(st.integers(at, min(at + 200, len(whole))))
    layout = draw(st.sampled_from(["<B", "<H", "<I", "<Q", ">Q"]))
    number = draw(st.sampled_from(NUMBERS)) % 2 ** (8 * struct.calcsize(layout))
    text = draw(st.sampled_from([b"NaN", b"1e999", b"-1", b"10000000000", b"null", b"[[[["]))
    return draw(
        st.sampled_from(
            [
                whole[:at],
                flipped(whole, at, draw(st.integers(0, 7))),
                overwritten(whole, at, struct.pack(layout, number)),
                overwritten(whole, at, bytes(end - at)),
                whole[:at] + text + whole[at + 1 :],
                whole[:end] + whole[at:],
                whole[:at] + whole[end:],
            ]
        )
    )


def flipped(whole, at, bit):
    return overwritten(whole, at, bytes([whole[at] ^ 1 << bit]))


def overwritten(whole, at, content):
    return (whole[:at] + content + whole[at + len(content) :])[: len(whole)]


@pytest.mark.slow
@pytest.mark.parametrize(("form", "name"), PLACES)
@settings(max_examples=40)
@given(st.data())
def test_damage(written, form, name, data):
    whole = forms()[form]
    content = data.draw(damaged(whole.files[name]))
    check(written(whole, **{name.replace(".", "_"): content}), whole.reader)


@pytest.mark.slow
@settings(max_examples=100)
@given(st.data())
def test_damage_to_the_pickle_in_an_archive_whose_sums_are_right(written, data):
    whole = forms()["pth"]
    program = data.draw(damaged(bad_files.pickle_in(whole.files["x.pth"])))
    check(written(whole, x_pth=bad_files.repacked(whole.files["x.pth"], program)))


HOSTILE = st.sampled_from(
    [
        *(0, -1, 1, 3, 8191, 8192, 10**9, 10**400, 0.5, -0.0, float("nan"), float("inf")),
        *("", "x", "x" * 10_000, "\ud800", None, True, [], {}, [[]], [0, 0, 0], {"0": 1}),
        *([10**400] * 3, [8192] * 4000, ["x"] * 100_000, [1, "x", None]),
    ]
)


def places(value, path=()):
    """The way to everything in JSON."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@st.composite
def rewritten(draw, whole: bytes) -> bytes:
    """JSON in which one thing, or two, is something else."""
    content = json.loads(whole)
    for *way, last in draw(
        st.lists(st.sampled_from(list(places(content))[1:]), min_size=1, max_size=2)
    ):
        inner = content
        for key in way:
            inner = inner[key] if isinstance(inner, dict | list) and key in inner else {}
        if isinstance(inner, dict):
            inner[last] = deepcopy(draw(HOSTILE))  # one of them is filled by the next
    return json.dumps(content).encode()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@settings(max_examples=60)
@given(st.data())
def test_json_that_says_something_else(written, name, data):
    whole = forms()["folder"]
    check(written(whole, **{name.replace(".", "_"): data.draw(rewritten(whole.files[name]))}))


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data())
def test_meta_that_says_something_else(written, data):
    whole = forms()["safetensors"]
    content = whole.files["x.safetensors"]
    meta = data.draw(rewritten(bad_files.meta_in(content)))
    check(written(whole, x_safetensors=bad_files.relabelled(content, meta)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "into", "outof"),
    [
        ("recording", "reindexed", "index_in"),
        ("summary", "reindexed", "index_in"),
        ("training recording", "training_reindexed", "training_index_in"),
        ("training summary", "training_reindexed", "training_index_in"),
        ("state", "repositioned", "position_in"),
        ("annotations", "as_it_is", "all_of_it"),
        ("results", "as_it_is", "all_of_it"),
        ("parts", "as_it_is", "all_of_it"),
    ],
)
@settings(max_examples=60)
@given(st.data())
def test_an_index_that_says_something_else(written, form, into, outof, data):
    whole = forms()[form]
    name = whole.opened
    index = data.draw(rewritten(getattr(bad_files, outof)(whole.files[name])))
    content = getattr(bad_files, into)(whole.files[name], index)
    check(written(whole, **{name.replace(".", "_"): content}), whole.reader)


@pytest.mark.parametrize("form", forms())
def test_what_is_whole_is_read(written, form):
    whole = forms()[form]
    error = check(written(whole), whole.reader).error
    assert error is None or whole.reader is bad_files.read_any  # too few tensors for a model


ONNX = onnx.ModelProto.FromString(bad_files.own_onnx())


@st.composite
def redrawn(draw) -> bytes:
    """A whole ONNX of ours of which up to three things are changed."""
    model = onnx.ModelProto()
    model.CopyFrom(ONNX)
    graph = model.graph
    for change in draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3)):
        change(draw, graph)
    return model.SerializeToString()


def one_of(draw, many):
    return many[draw(st.integers(0, len(many) - 1))]


def _dims(draw, graph):
    tensor = one_of(draw, graph.initializer)
    if tensor.dims:
        tensor.dims[draw(st.integers(0, len(tensor.dims) - 1))] = draw(
            st.sampled_from([0, -1, 10**10])
        )


def _turned(draw, graph):
    tensor = one_of(draw, graph.initializer)
    tensor.dims[:] = list(reversed(tensor.dims))


def _type(draw, graph):
    one_of(draw, graph.initializer).data_type = draw(st.integers(0, 30))


def _left_out(draw, graph):
    del graph.node[draw(st.integers(0, len(graph.node) - 1))]


def _twice(draw, graph):
    graph.node.append(one_of(draw, graph.node))


def _moved(draw, graph):
    nodes = [graph.node[i] for i in draw(st.permutations(range(len(graph.node))))]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _linked(draw, graph):
    node, other = one_of(draw, graph.node), one_of(draw, graph.node)
    if node.input:
        node.input[draw(st.integers(0, len(node.input) - 1))] = one_of(draw, other.output)


def _kind(draw, graph):
    one_of(draw, graph.node).op_type = one_of(draw, graph.node).op_type


def _unset(draw, graph):
    del one_of(draw, graph.node).attribute[:]


def _set(draw, graph):
    node = one_of(draw, graph.node)
    for attribute in node.attribute:
        for i in range(len(attribute.ints)):
            attribute.ints[i] = draw(st.sampled_from([0, -1, 2, 10**10]))
        attribute.f = draw(st.sampled_from([0.0, float("nan"), 1e30]))


def _renamed(draw, graph):
    one_of(draw, graph.initializer).name = one_of(draw, graph.initializer).name


CHANGES = (_dims, _turned, _type, _left_out, _twice, _moved, _linked, _kind, _unset, _set, _renamed)


@pytest.mark.slow
@settings(max_examples=30)
@given(redrawn())
def test_onnx_that_is_drawn_otherwise(written, content):
    check(written(forms()["onnx"], x_onnx=content))


ARRAYS = st.sampled_from(
    [
        *(np.ones(3, np.float64), np.ones(3, np.int8), np.array([np.nan]), np.array(True)),
        *(np.float32(3), np.ones((1,) * 32, np.float32), np.ones((2, 3), np.float32)),
        *(np.arange(8.0).reshape(2, 2, 2).T, np.array(["x"]), np.array([None]), [1.0], "x"),
    ]
)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 20), ARRAYS), min_size=1, max_size=4))
def test_tensors_that_are_something_else(written, changes):
    content = pickle.loads(forms()["pdparams"].files["x.pdparams"])  # noqa: S301 (our own)
    names = list(content)
    for place, array in changes:
        content[names[place % len(names)]] = array
    check(written(forms()["pdparams"], x_pdparams=pickle.dumps(content, 4)))
    tensors = {
        name: torch.from_numpy(np.array(array))
        for name, array in content.items()
        if isinstance(array, np.ndarray) and array.dtype.kind in "fi"
    }
    check(written(forms()["pth"], x_pth=bad_files.torch_file(tensors)))


def in_memory(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The first half of each file."""
    return {name.replace(".", "_"): content[: len(content) // 2] for name, content in files.items()}


@pytest.mark.parametrize("output", ["out.pth", "out.safetensors", "out.pdparams", "out"])
@pytest.mark.parametrize(
    "form", [form for form, whole in forms().items() if whole.reader is bad_files.read_any]
)
def test_what_cannot_be_read_leaves_nothing_behind(written, tmp_path, form, output):
    whole = forms()[form]
    with pytest.raises(PicoDetError):
        convert_file(written(whole, **in_memory(whole.files)), tmp_path / output, ConvertOptions())
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays_as_it_was(written, tmp_path):
    output: Path = tmp_path / "out.pth"
    output.write_bytes(b"mine")
    with pytest.raises(PicoDetError):
        convert_file(written(forms()["pdmodel"]), output, ConvertOptions(), overwrite=True)
    assert output.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [output]
