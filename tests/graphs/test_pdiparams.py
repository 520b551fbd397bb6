"""Weights of every dtype, and files with false claims about their content."""

import struct
import tracemalloc

import numpy as np
import paddle_files as files
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.errors import CheckpointError
from picodet.graphs import pdiparams
from picodet.graphs.pdiparams import DeclaredWeight

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "half": np.arange(3, dtype=np.float16),
    "bfloat16": np.array([0x3F80, 0xC000], np.uint16),
    "double": np.arange(2.0),
    "scalar": np.array(7, np.int32),
    "long": np.array([[-(2**40)]]),
}
DECLARED = [
    DeclaredWeight(
        name, {"uint16": "bfloat16"}.get(array.dtype.name, array.dtype.name), array.shape
    )
    for name, array in ARRAYS.items()
]
GOOD = files.pdiparams(ARRAYS)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.pdiparams"

    def read_bytes(content, declared=DECLARED):
        path.write_bytes(content)
        return pdiparams.read(path, declared)

    return read_bytes


def test_every_dtype_in_the_order_of_names(read):
    found = read(GOOD)
    assert list(found) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_levels_of_detail_are_skipped(read):
    array = ARRAYS["half"]
    content = files.tensor(array, levels=[b"", bytes(16)])
    assert np.array_equal(read(content, [DeclaredWeight("x", "float16", (3,))])["x"], array)


def test_a_dynamic_dimension_in_the_program(read):
    content = files.tensor(ARRAYS["w"])
    assert read(content, [DeclaredWeight("w", "float32", (1, -1, 3))])["w"].shape == (1, 2, 3)


def test_a_program_without_weights(read):
    assert read(b"", []) == {}


def header(description, level=0, version=0):
    return struct.pack("<IQIi", version, level, 0, len(description)) + description


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "weight 1 of 1, w: 4 bytes expected at 0, 0 are left"),
        (b"\x80\x04]\x94.", "version 2,489,123,968 at byte 0"),
        (header(files.description((3,), 5), level=9) + bytes(12), "9 levels of detail"),
        (header(files.description((3,), 5), level=1) + bytes(12), "bytes expected at"),
        (header(b""), "a description of 0 bytes"),
        (struct.pack("<IQIi", 0, 0, 0, -5), "a description of -5 bytes"),
        (struct.pack("<IQIi", 0, 0, 0, 2**31 - 1), "a description of 2,147,483,647 bytes"),
        (header(b"no protobuf"), "its 11 bytes are no TensorDesc"),
        (header(files.description((3,), 20)) + bytes(3), "type 20; .* not a quantized model"),
        (header(files.description((-3,), 5)), r"the shape \[-3\]"),
        (header(files.description((0, 10**12), 5)), r"the shape \[0, 1000000000000\]"),
        (header(files.description([1] * 17, 5)), "the shape"),
        (header(files.description((10**10,), 5)), "40,000,000,000 bytes expected at"),
        (header(files.description([2**62] * 16, 5)), "bytes expected at"),
        (
            header(files.description((4,), 5)) + bytes(16),
            r"is float32 \[4\]; expected float32 \[3\]",
        ),
        (header(files.description((3,), 4)) + bytes(6), "is float16 .* weights of another program"),
        (
            header(files.description((3,), 5)) + bytes(13),
            "1 bytes after the last of the program's",
        ),
    ],
)
def test_content_that_is_not_as_declared(read, content, message):
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message) as caught:
            read(content, [DeclaredWeight("w", "float32", (3,))])
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert "model.pdiparams: " in str(caught.value)
    assert "together" in str(caught.value)


def test_two_weights_of_one_name(read):
    twice = [DeclaredWeight("w", "float32", (1,))] * 2
    with pytest.raises(CheckpointError, match="two weights named w"):
        read(files.tensor(np.ones(1, np.float32)) * 2, twice)


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        pdiparams.read(tmp_path / "absent", [])
    with pytest.raises(CheckpointError, match="directory"):
        pdiparams.read(tmp_path, [])


@given(st.integers(0, len(GOOD) - 1))
def test_a_file_cut_anywhere_is_an_error(read, length):
    with pytest.raises(CheckpointError):
        read(GOOD[:length])


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_arrays_or_a_checkpoint_error(read, position, byte):
    try:
        found = read(GOOD[:position] + bytes([byte]) + GOOD[position + 1 :])
    except CheckpointError:
        return
    assert {name: array.shape for name, array in found.items()} == {
        name: array.shape for name, array in ARRAYS.items()
    }
