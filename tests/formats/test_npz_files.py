"""Arrays in files of strangers: sizes are held against what is there before anything is made."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from picodet.formats.npz_files import ArrayFileError, read_npy, read_npz

ARRAYS = {
    "plain": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "text": np.array(["a", "bc"]),
    "one": np.array(7, np.int16),
    "none": np.empty((0, 3), np.float32),
    "big": np.arange(3, dtype=">f4"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, **ARRAYS)
    found = read_npz(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
        assert found[name].flags.writeable
    np.save(tmp_path / "x.npy", ARRAYS["fortran"])
    assert np.array_equal(read_npy(tmp_path / "x.npy"), ARRAYS["fortran"])


def header(shape, dtype="<f8", fortran="False"):
    """Of an .npy, and no values."""
    buffer = io.BytesIO()
    said = {"descr": dtype, "fortran_order": fortran == "True", "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, said)
    return buffer.getvalue()


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


LIES = {
    "more than there is": header((10**12,)) + bytes(80),
    "less than there is": header((3,)) + bytes(80),
    "below zero": header((-1, -10)) + bytes(80),
    "beyond 64 bits": header((2**40, 2**40)) + bytes(80),
    "no header": b"",
    "another format": b"\x93NUMPY\x09\x00" + bytes(80),
    "objects": header((1,), "|O") + bytes(8),
    "nothing each": header((10**12,), "|V0"),
    "deep": b"\x93NUMPY\x01\x00\x00\x20" + b"(" * 0x2000,
    "long": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 100,
}


@pytest.mark.parametrize("lie", LIES)
def test_an_array_that_lies(tmp_path, lie):
    tracemalloc.start()
    with pytest.raises(ArrayFileError):
        read_npz(archive(tmp_path / "x.npz", a=LIES[lie]))
    (tmp_path / "x.npy").write_bytes(LIES[lie])
    with pytest.raises(ArrayFileError):
        read_npy(tmp_path / "x.npy")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_what_unpacks_to_too_much_is_not_unpacked(tmp_path):
    content = header((10**7,)) + bytes(8 * 10**7)
    with pytest.raises(ArrayFileError, match=r"unpacks to 80,000,128 bytes, in a file of"):
        read_npz(archive(tmp_path / "x.npz", a=content))


def test_one_bit_of_an_array(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(100.0))
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArrayFileError, match="Bad CRC-32"):
        read_npz(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_of_a_name(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as file:
        for _ in range(2):
            file.writestr("a.npy", header((0,)))
    with pytest.raises(ArrayFileError, match="a duplicate name"):
        read_npz(path)


@pytest.mark.parametrize("read", [read_npz, read_npy])
def test_no_file(tmp_path, read):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ArrayFileError, match="directory"):
            read(path)
