"""Real files of both NumPy spellings and all protocols are read; everything else is refused."""

import os
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.errors import CheckpointError
from picodet.formats import pdparams

VALUES = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big endian": np.arange(3).astype(">f4"),
    "half": np.arange(3, dtype=np.float16),
    "bfloat16": np.array([0x3F80], np.uint16),
    "scalar": np.float32(3),
    "no dimension": np.array(2.0),
    "StructuredToParameterName@@": {"float32": "conv2d_0.w_0"},
}


@pytest.fixture
def read(tmp_path):
    def read_bytes(content):
        path = tmp_path / "x.pdparams"
        path.write_bytes(content)
        return pdparams.read(path)

    return read_bytes


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Subclass(np.ndarray):
    pass


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("spelling", [b"numpy._core", b"numpy.core"])
def test_reads_what_numpy_writes(read, protocol, spelling):
    content = pickle.dumps(VALUES, protocol)
    for other in (b"numpy._core", b"numpy.core"):  # the length stands before the name in protocol 4
        old, new = other + b".multiarray", spelling + b".multiarray"
        content = content.replace(b"\x8c%c" % len(old) + old, b"\x8c%c" % len(new) + new)
        content = content.replace(b"c" + old, b"c" + new)
    content = unframed(content)
    assert spelling + b".multi" in content
    found = read(content)
    assert list(found) == list(VALUES)[:-1]
    for name, value in found.items():
        assert np.array_equal(value, VALUES[name])
        assert value.shape == VALUES[name].shape
        assert value.dtype.newbyteorder("=") == VALUES[name].dtype.newbyteorder("=")


@pytest.mark.parametrize("protocol", range(6))
def test_reads_all_protocols_and_paddles_tuples(read, protocol):
    values = {
        **{name: value for name, value in VALUES.items() if not isinstance(value, dict)},
        "turned": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
        "all bytes": np.arange(2000, dtype=np.uint16),
        "read only": np.frombuffer(bytes(range(256)), np.uint8),
    }
    named = {name: ("conv2d_0.w_0", value) for name, value in values.items()}  # of Paddle 2.0, 2.1
    called = {name: Calls(tuple, pair) for name, pair in named.items()}
    for content in (values, named, called):
        found = read(pickle.dumps(content, protocol))
        assert list(found) == list(values)
        for name, value in values.items():
            assert np.array_equal(found[name], value)
            assert found[name].shape == value.shape


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"(dp0\nVw\nVtext\ns.", "something of type str as the value of 'w'"),
        (b"(dp0\nVw\nI01\ns.", "something of type bool as the value of 'w'"),
        (b"(dp0\nVw\nL3L\ns.", "something of type int"),
        (b"(dp0\nVw\n(lp1\ns.", "something of type list"),
        (b"(dp0\nS'w'\nF1.5\ns.", "something of type float as the value of 'w'"),
        (b"(dp0\nS'w\nNs.", "a string without quotes"),
        (b"(dp0\nVw\nI" + b"9" * 5000 + b"\ns.", "digits"),
        (b"(dp0\nVw\ng99\ns.", "truncated or damaged .pdparams"),
        (b"(dp0\nV" + b"\\u1234" * 1000 + b"\nNs.", "neither a name nor an array"),
        (b"(dp0\nVw\n(Vconv\nVw\nNtp1\ns.", "something of type tuple as the value of 'w'"),
        (b"(dp0\nVw\nc__builtin__\ntuple\n((ttRs.", "something of type tuple as the value"),
        (b"(dp0\nVw\nc__builtin__\ntuple\n(Vtext\ntRs.", "a call of tuple"),
        (b"\x80\x05}\x8c\x01w\x97s.", "NEXT_BUFFER"),
        (b"\x80\x05}\x8c\x01w\x96" + b"\xff" * 8 + b"s.", "truncated or damaged"),
    ],
)
def test_refuses_in_other_protocols_too(read, content, message):
    with pytest.raises(CheckpointError, match=message):
        read(content)


@pytest.mark.parametrize("axes", [(0, 0, 1), (0, 1), (0, 1, 5), (True, 0, 2)])
def test_axes_in_no_order(read, axes):
    """In the form that NumPy has for them; 2.0 has another."""
    function, (data, dtype, shape, _) = np.arange(24.0).reshape(2, 3, 4).__reduce_ex__(5)
    with pytest.raises(CheckpointError, match="whose axes are not a permutation"):
        read(pickle.dumps({"w": Calls(function, bytes(data), dtype, shape, "K", axes)}, 5))


def unframed(content):
    """Protocol 4 without frames, whose lengths the change of a name would make wrong."""
    return pickle.dumps(None, 4)[:2] + content[11:] if content[2:3] == b"\x95" else content


def test_reads_the_latin_1_strings_of_python_2(read):
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    dtype = b"cnumpy\ndtype\n(U\x02f2K\x00K\x01tR(K\x03U\x01<NNNK\x00K\x00K\x00tb"
    content = b"\x80\x02}U\x01w" + array + b"(K\x01(K\x01t" + dtype + b"\x89U\x02\x00\xbctb" + b"s."
    assert read(content)["w"].tolist() == [-1.0]


def test_puts_the_pieces_of_large_tensors_together(read):
    whole = np.arange(6, dtype=np.float32).reshape(2, 3)
    pieces = {"w@@.0": whole.ravel()[:4], "w@@.1": whole.ravel()[4:]}
    info = {"w": {"OriginShape": (2, 3), "slices": list(pieces)}}
    found = read(pickle.dumps({**pieces, "b": np.ones(1), "UnpackBigParamInfor@@": info}, 2))
    assert set(found) == {"b", "w"}
    assert np.array_equal(found["w"], whole)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Calls(os.system, "touch owned"), f"{os.name}.system"),
        (Calls(eval, "open('owned', 'w')"), "eval"),
        (Calls(np.load, "owned"), "numpy.load"),
        (Calls(subprocess.Popen, "id"), "Popen"),
        (np.array([Calls(os.system, "touch owned")], dtype=object), f"{os.name}.system"),
        ([np.array([np.array([Calls(eval, "1")], dtype=object), 1], dtype=object)], "eval"),
        (np.zeros(2).view(Subclass), "Subclass"),
    ],
)
def test_refuses_code_by_its_name(read, tmp_path, monkeypatch, protocol, value, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        CheckpointError, match=rf"nothing of it was executed: it contains \S*{name}"
    ):
        read(pickle.dumps({"w": value}, protocol))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["numpy.f2py diagnose", "numpy ndarray.tofile", "numpy core"])
def test_allows_no_other_name_of_numpy(read, name):
    module, attribute = name.split()
    with pytest.raises(CheckpointError, match=f"contains {module}.{attribute}"):
        read(b"\x80\x02c%s\n%s\n." % (module.encode(), attribute.encode()))


def test_calls_no_array_to_life_but_by_numpys_own_words(read):
    ndarray = b"cnumpy\nndarray\n"
    for instructions, name in (
        (b"(J\xff\xff\xff\x7ftR.", "a call of ndarray"),  # ndarray(2147483647) would take 16 GiB
        (b")\x81.", "NEWOBJ"),
        (b"}b.", "a state for something of type global"),
    ):
        with pytest.raises(CheckpointError, match=name):
            read(b"\x80\x02" + ndarray + instructions)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array(["text"]), "an array of no numbers"),
        (np.array([None]), "an array of Python objects"),
        (np.zeros(2, [("x", "f4")]), "fields or sub-arrays"),
        ({"nested": np.ones(1)}, "something of type dict as the value of 'w'"),
        (3, "something of type int as the value of 'w'"),
    ],
)
def test_refuses_what_is_no_tensor(read, value, message):
    with pytest.raises(CheckpointError, match=message):
        read(pickle.dumps({"w": value}, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04" + bytes(30), "a zip archive"),
        (b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>", "an HTML page"),
        (b"oid sha256:4d7a\nsize 4100211\n", "text that begins 'oid sha256:4d7a'"),
        (
            b"cos\nsystem\n(S'id'\ntR.",
            "text that begins 'cos', nothing of it was executed: it contains os.system",
        ),
        (b"\x08\x07\x12\x07pytorch", "a protobuf message"),
        (bytes(100), "a file that begins with the bytes 00 00 00 00"),
        (pickle.dumps([np.ones(1)], 4), "something of type list instead of a dictionary"),
        (pickle.dumps({}, 4), "no tensors"),
        (b"\x80\x02}(U\x01wNU\x01wNu.", "the duplicate key 'w'"),
        (pickle.dumps({"w": np.ones(1)}, 4) + b"more", "4 bytes after its end"),
        (b"\x80\x02}}.", "2 values instead of one"),
        (pickle.dumps({1: np.ones(1)}, 4), "something of type int as a key"),
    ],
)
def test_says_what_another_file_looks_like(read, content, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_says_what_is_wrong_with_the_path(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        pdparams.read(tmp_path / "absent.pdparams")
    with pytest.raises(CheckpointError, match="directory"):
        pdparams.read(tmp_path)


TERABYTES = [
    pickle.dumps({"w": np.arange(3, dtype="f4")}, 4).replace(
        b"K\x03\x85", b"\x8a\x06" + (10**12).to_bytes(6, "little") + b"\x85"
    ),
    b"\x80\x04\x8e" + (2**44).to_bytes(8, "little") + b"abc",  # bytes
    b"\x80\x04\x8d" + (2**44).to_bytes(8, "little") + b"abc",  # text
    b"\x80\x04\x95" + (2**44).to_bytes(8, "little") + b"}.",  # a frame
    b"\x80\x02}r\xff\xff\xff\xff.",  # a place in the memo, which Python would make room up to
    b"\x80\x02" + b"}" * 1_000_000 + b".",
    # one text of 1 MB, made bytes again and again
    b"\x80\x02c_codecs\nencode\nq\x02X\x40\x42\x0f\x00%bX\x06\x00\x00\x00latin1\x86q\x010"
    % bytes(1_000_000)
    + b"h\x02h\x01R" * 5000
    + b".",
    b"\x80\x02}X\x40\x42\x0f\x00" + "\U0001f600".encode() * 250_000 + b"Ns.",  # 4 MB in Python
    pickle.dumps({"w": np.zeros((10**10, 0), np.float32)}, 4),
]


@pytest.mark.slow
@pytest.mark.parametrize("content", TERABYTES, ids=range(len(TERABYTES)))
def test_claims_of_terabytes_take_no_memory(read, content):
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            read(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(content) + 16e6  # the second is what short instructions may leave


MEMORY = """
import sys
from pathlib import Path
from picodet.formats import pdparams
from picodet.system.machine import peak_memory
before = peak_memory()
kept = pdparams.read(Path(sys.argv[1]))
print((peak_memory() or 0) - (before or 0))
"""


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_memory_stays_within_three_times_the_file(tmp_path, protocol):
    path = tmp_path / "large.pdparams"
    values = np.random.default_rng(0).normal(size=(4, 4_000_000)).astype(np.float32)
    content = {f"w{i}": row for i, row in enumerate(values)}
    if protocol < 4:  # in pieces, which have to be put together
        pieces = {"w": {"OriginShape": values.shape, "slices": list(content)}}
        content["UnpackBigParamInfor@@"] = pieces
    path.write_bytes(pickle.dumps(content, protocol))
    result = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 3 * path.stat().st_size


GOOD = pickle.dumps({"a.weight": np.arange(4, dtype=np.float32), "b": np.ones((2, 2))}, 4)


@given(st.integers(0, len(GOOD) - 1))
def test_a_file_cut_anywhere_is_an_error(tmp_path_factory, length):
    path = tmp_path_factory.getbasetemp() / "cut.pdparams"
    path.write_bytes(GOOD[:length])
    with pytest.raises(CheckpointError):
        pdparams.read(path)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_arrays_or_an_error_of_ours(tmp_path_factory, position, byte):
    path = tmp_path_factory.getbasetemp() / "changed.pdparams"
    path.write_bytes(GOOD[:position] + bytes([byte]) + GOOD[position + 1 :])
    try:
        found = pdparams.read(path)
    except CheckpointError:
        return
    assert all(isinstance(value, np.ndarray) for value in found.values())


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_weights_one_level_down(read, tmp_path, key):
    content = {"epoch": 3, key: {"x": np.float32([1])}}
    assert read(pickle.dumps(content, 4)) == {"x": np.float32([1])}
    (tmp_path / "y.pdparams").write_bytes(pickle.dumps(content, 4))
    assert pdparams.read_file(tmp_path / "y.pdparams").dropped == ("epoch",)


def test_a_tensor_beside_them_is_not_lost(read):
    content = {"y": np.float32([2]), "model": {"x": np.float32([1])}}
    with pytest.raises(CheckpointError, match="the tensor 'y' beside the dictionary 'model'"):
        read(pickle.dumps(content, 4))


def test_a_tensor_of_that_name_is_a_tensor(read):
    assert list(read(pickle.dumps({"model": np.float32([1])}, 4))) == ["model"]
