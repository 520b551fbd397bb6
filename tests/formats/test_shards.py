"""Weights in several files: each tensor in the one that is named for it, and no file elsewhere."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from picodet.errors import CheckpointError
from picodet.formats.shards import find_index, weights_sha256
from picodet.formats.torch_files import read_torch

INDEX = "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
PLACES = {"a": FIRST, "b": FIRST, "c": SECOND}


@pytest.fixture
def write(tmp_path):
    def write_index(content):
        save_file({"a": np.ones(2), "b": np.zeros(3)}, tmp_path / FIRST)
        save_file({"c": np.arange(4, dtype=np.float32)}, tmp_path / SECOND)
        (tmp_path / INDEX).write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / INDEX

    return write_index


def test_all_parts_are_read(write, tmp_path):
    index = write({"metadata": {"total_size": 56}, "weight_map": PLACES})
    found = read_torch(index)
    assert sorted(found.arrays) == ["a", "b", "c"]
    assert found.arrays["c"].tolist() == [0, 1, 2, 3]
    assert find_index(tmp_path) == index


def test_the_digest_is_of_the_parts(write, tmp_path):
    index = write({"weight_map": PLACES})
    before = weights_sha256(index)
    index.write_text(json.dumps({"metadata": {}, "weight_map": PLACES}))
    assert weights_sha256(index) == before
    save_file({"c": np.ones(4, np.float32)}, tmp_path / SECOND)
    assert weights_sha256(index) != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "invalid index of weights"),
        ("[" * 100_000, "invalid index of weights"),
        ("[]", "invalid index of weights: TypeError"),
        ({}, "KeyError 'weight_map'"),
        ({"weight_map": {}}, "its weight_map is empty"),
        ({"weight_map": [FIRST]}, "its weight_map is empty"),
        ('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "duplicate key"),
        ({"weight_map": {"a": 7}}, "found 7; expected the name of a .safetensors"),
        ({"weight_map": {"a": "model.pth"}}, "found 'model.pth'; expected"),
        (
            {"weight_map": {"a": "../x.safetensors"}},
            r"'\.\./x\.safetensors' is not in the same folder",
        ),
        ({"weight_map": {"a": "/x.safetensors"}}, "is not in the same folder"),
        ({"weight_map": {"a": "b/x.safetensors"}}, "is not in the same folder"),
        ({"weight_map": {"a": "b\\x.safetensors"}}, "is not in the same folder"),
        ({"weight_map": {"a": "C:x.safetensors"}}, "is not in the same folder"),
        ({"weight_map": {"a": "x\0.safetensors"}}, "expected the name of a .safetensors"),
        ({"weight_map": {"a": "absent.safetensors"}}, r"absent\.safetensors: missing or damaged"),
        ({"weight_map": PLACES | {"d": SECOND}}, f"{SECOND}: 'd' is missing"),
        ({"weight_map": {"a": FIRST, "c": SECOND}}, f"{FIRST}: 'b' is not listed in {INDEX}"),
        ({"weight_map": PLACES | {"b": SECOND}}, f"{FIRST}: 'b' is not listed in"),
        ({"weight_map": {str(i): f"{i}.safetensors" for i in range(1001)}}, "1,001 files"),
    ],
)
def test_an_index_that_lies(write, content, message):
    with pytest.raises(CheckpointError, match=message):
        read_torch(write(content))


def test_two_are_none(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors.index.json").touch()
    assert find_index(tmp_path) is None
