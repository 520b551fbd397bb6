"""Files of ours for safetensors: the same bytes each time, and no other weights unnoticed."""

import io
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save

from picodet.formats.safetensors_writer import CHECKSUMS, DTYPES, Checksums, write

ARRAYS = {
    "counts": np.array(3),
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1],
    "big": np.arange(3, dtype=">f8"),
    "bytes": np.arange(5, dtype=np.uint8),
    "nothing": np.empty((0, 2), np.float16),
}
METADATA = {"format": "pt", "picodet": '{"a": "süß"}'}


def written(arrays=ARRAYS, metadata=METADATA):
    buffer = io.BytesIO()
    write(buffer, arrays, metadata)
    return buffer.getvalue()


def test_the_library_reads_what_was_written():
    found = load(written())
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert np.array_equal(found[name], array)


def test_metadata_is_there(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(written())
    with safe_open(path, "np") as file:
        found = file.metadata()
    sums = json.loads(found.pop(CHECKSUMS))
    assert found == METADATA
    assert sums.keys() == {"", *ARRAYS}


def test_whatever_the_order_the_bytes_are_the_same():
    assert written(dict(reversed(ARRAYS.items()))) == written()


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_lies_where_it_may(name):
    arrays = {"odd": np.ones(3, np.uint8), "a": np.ones(3, name), "b": np.ones(1)}
    assert load(written(arrays))["a"].dtype.name == name


def test_a_dtype_that_the_format_has_not():
    with pytest.raises(ValueError, match=r"complex128; expected one of float64, "):
        written({"a": np.ones(3, complex)})


def check(path):
    sums = Checksums(path)
    with safe_open(path, "np") as file:
        for name in file.keys():  # noqa: SIM118 (no dictionary)
            sums.check(name, file.get_tensor(name))


@pytest.mark.parametrize("name", ["weight", "big", "bytes", "counts"])
def test_one_bit_of_a_tensor(tmp_path, name):
    content = written()
    path = tmp_path / "x"
    path.write_bytes(content)
    check(path)
    damaged = bytearray(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    damaged[8 + int.from_bytes(content[:8], "little") + header[name]["data_offsets"][0]] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=f"the checksum of '{name}' in it is wrong"):
        check(path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"F32"', b'"I32"'),
        (b"[2,3]", b"[3,2]"),
        (b"[2,3]", b"[1,6]"),
        (b'"counts":{', b'"amount":{'),
        (b'"pt"', b'"np"'),
        (b'\\"\\":', b'\\"\\":1'),
        (b'\\"counts\\":', b'\\"counts\\":1'),
    ],
)
def test_a_header_that_was_changed(tmp_path, before, after):
    content = written()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].replace(before, after)
    path = tmp_path / "x"
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    with pytest.raises(ValueError, match=r"the checksum of .* is wrong"):
        check(path)


def test_a_file_without_is_taken_as_it_is(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(save({"a": np.ones(3)}))
    check(path)


@pytest.mark.parametrize("sums", ["[]", "7", "null", "{}"])
def test_checksums_that_are_none(tmp_path, sums):
    path = tmp_path / "x"
    path.write_bytes(save({"a": np.ones(3)}, {CHECKSUMS: sums}))
    with pytest.raises(ValueError, match=r"the checksum of its header is wrong"):
        check(path)
