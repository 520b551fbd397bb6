"""An index is converted to JSON and back; JSON from a file is checked, not trusted."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.alignment.recording.index import (
    Index,
    Operator,
    PreprocessingSettings,
    PreprocessingStep,
    RecordedCall,
    RecordedOutputs,
    Source,
    TensorInfo,
    Weight,
    content_key,
    from_json,
    sample_positions,
    to_json,
)

INDEX = Index(
    kind="ppdet",
    file="a.pdparams",
    sha256="ab",
    versions={"paddlepaddle": "3.3.1"},
    precision="float64",
    samples=16,
    input="i",
    image="p",
    scale_factor=(0.5, 0.25),
    settings=PreprocessingSettings((64, 96), 2, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    weights=(Weight("head.w", "w"),),
    steps=(PreprocessingStep("decode", "p"),),
    calls=(RecordedCall("neck.conv", 1, "Conv2D", ("i",), ("o", "w")),),
    operators=(Operator("conv", "t", (Source(-1), Source(0, 1)), ("o",), {"weight": "head.w"}),),
    network_outputs=RecordedOutputs(("o",), ("w",), "o", None, "w"),
    probes={"NMS/ties": "o"},
    tensors={
        "i": TensorInfo((1, 3, 64, 96), "float64", -1.5, 1.5, 0.25, 0, 0),
        "p": TensorInfo((7,), "uint8", 0.0, 255.0, 3.0, 0, 0),
        "w": TensorInfo((), "float32", 0.0, 0.0, 0.0, 1, 2),
        "o": TensorInfo((0, 4), "float32", 0.0, 0.0, 0.0, 0, 0),
    },
)


def test_to_json_and_back():
    assert from_json(json.loads(json.dumps(to_json(INDEX)))) == INDEX


def test_keys_of_format_1_are_kept():
    content = to_json(INDEX)
    assert list(content)[7:9] == ["input", "picture"]
    assert list(content["ending"]) == ["scores", "sides", "boxes", "box_scores", "kept"]


def test_optional_fields_stay_none():
    bare = replace(
        INDEX, image=None, settings=None, network_outputs=RecordedOutputs((), ()), probes={}
    )
    assert from_json(json.loads(json.dumps(to_json(bare)))) == bare


@pytest.mark.parametrize("name", to_json(INDEX))
@pytest.mark.parametrize("value", [None, 7, "unknown", [None], {"x": 1}])
def test_nothing_else_than_an_index_comes_out(name, value):
    """The result is an index that survives another round trip, or one of these errors."""
    content = json.loads(json.dumps(to_json(INDEX)))
    content[name] = value
    try:
        index = from_json(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        return
    assert from_json(json.loads(json.dumps(to_json(index)))) == index


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), 2),
        (("kind",), "torch"),
        (("precision",), "float16"),
        (("input",), "nowhere"),
        (("picture",), "nowhere"),
        (("weights", 0, "key"), "nowhere"),
        (("steps", 0, "key"), "nowhere"),
        (("calls", 0, "inputs", 0), "nowhere"),
        (("calls", 0, "outputs", 1), ["i"]),
        (("operators", 0, "outputs", 0), None),
        (("ending", "kept"), "nowhere"),
        (("ending", "scores", 0), "nowhere"),
        (("probes", "NMS/ties"), "nowhere"),
        (("scale_factor",), [1]),
        (("settings", "size"), [64]),
        (("settings", "mean"), [0.5]),
        (("tensors", "i", "shape"), "abc"),
        (("tensors", "i", "low"), None),
    ],
)
def test_damage_is_noticed(place, value):
    content = json.loads(json.dumps(to_json(INDEX)))
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        from_json(content)


def test_older_recordings_have_neither_resize_kernels_nor_class_names():
    content = to_json(replace(INDEX, classes=("cat", "dog")))
    assert from_json(json.loads(json.dumps(content))).classes == ("cat", "dog")
    del content["kernels"], content["classes"]
    assert from_json(content) == replace(INDEX, kernels={}, classes=None)


@pytest.mark.parametrize("name", sorted(to_json(INDEX).keys() - {"format", "kernels", "classes"}))
def test_every_other_field_is_required(name):
    content = to_json(INDEX)
    del content[name]
    with pytest.raises(KeyError, match=name):
        from_json(content)


def test_samples_lie_evenly_with_both_ends():
    assert sample_positions(11, 3).tolist() == [0, 5, 10]
    assert sample_positions(2, 16).tolist() == [0, 1]
    assert sample_positions(1, 16).tolist() == [0]
    assert sample_positions(0, 16).tolist() == []


@given(st.integers(1, 10**6), st.integers(2, 64))
def test_no_position_is_sampled_twice(size, count):
    positions = sample_positions(size, count)
    assert len(set(positions.tolist())) == len(positions) == min(size, count)
    assert positions[-1] == size - 1


def test_equal_bits_have_equal_keys():
    array = np.arange(6, dtype="f4").reshape(2, 3)
    assert content_key(array) == content_key(array.copy())
    assert content_key(array.T.copy()) == content_key(array.T) != content_key(array)
    big = np.arange(12, dtype="f4").reshape(2, 6)[:, ::2]
    assert content_key(big) == content_key(np.ascontiguousarray(big))
    nan = np.array([np.nan], "f4")
    assert content_key(nan) == content_key(nan.copy())


@pytest.mark.parametrize(
    "other",
    [
        np.float32(0),  # without dimensions
        np.zeros((1, 1), "f4"),
        np.zeros(1, "f8"),
        np.zeros(1, "i4"),  # the same bytes
        np.array([-0.0], "f4"),
        np.array([np.nan], "f4"),
        np.zeros(2, "f4"),
        np.zeros(0, "f4"),
    ],
    ids=repr,
)
def test_others_have_others(other):
    assert content_key(other) != content_key(np.zeros(1, "f4"))


def test_the_given_index_is_not_changed():
    content = to_json(INDEX)
    before = deepcopy(content)
    from_json(content)
    assert content == before
