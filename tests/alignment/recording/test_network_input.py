import numpy as np
import pytest

from picodet.alignment.recording.network_input import NetworkInput, read_array
from picodet.errors import RecordingError


def test_an_array_is_used_unchanged(tmp_path):
    array = np.random.default_rng(0).normal(size=(1, 3, 64, 96))
    np.save(tmp_path / "a.npy", array)
    network_input = read_array(tmp_path / "a.npy")
    assert network_input.array.dtype == np.float32
    assert np.array_equal(network_input.array, array.astype("f4"))
    assert (network_input.scale_factor.tolist(), network_input.encoded_image) == ([1, 1], None)


def test_half_precision_is_widened(tmp_path):
    np.save(tmp_path / "a.npy", np.full((1, 3, 32, 32), 0.1, "f2"))
    assert read_array(tmp_path / "a.npy").array[0, 0, 0, 0] == np.float32(np.float16(0.1))


def with_one(value):
    array = np.zeros((1, 3, 32, 32), "f4")
    array[0, 1, 2, 3] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 64, 64), "f4"), r": \[3, 64, 64\] float32; expected \[1, 3, height, width\]"),
        (np.zeros((2, 3, 64, 64), "f4"), r": \[2, 3, 64, 64\] float32; expected"),
        (np.zeros((1, 4, 64, 64), "f4"), r": \[1, 4, 64, 64\] float32; expected"),
        (np.zeros((1, 64, 64, 3), "f4"), r": \[1, 64, 64, 3\] float32; expected"),
        (np.zeros((1, 3, 64, 64), "u1"), r"uint8; expected \[1, 3, height, width\] of floats"),
        (np.zeros((1, 3, 64, 64), "c8"), r"complex64; expected .* of floats"),
        (np.zeros((), "f4"), r": \[\] float32; expected"),
        (np.zeros((1, 3, 64, 100), "f4"), "64x100: both sides must be multiples of 32"),
        (np.zeros((1, 3, 0, 64), "f4"), "0x64: both sides must be multiples of 32"),
        (with_one(np.nan), "NaN or Inf"),
        (with_one(np.inf), "NaN or Inf"),
        (np.array([{"a": 1}], object), "not a readable .npy"),
    ],
)
def test_an_invalid_input_is_an_error(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(RecordingError, match=message):
        read_array(tmp_path / "a.npy")


def test_float64_beyond_float32_is_infinite(tmp_path):
    np.save(tmp_path / "a.npy", with_one(0).astype("f8") + 1e300)
    with pytest.raises(RecordingError, match="NaN or Inf"):
        read_array(tmp_path / "a.npy")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"text", bytes(100)])
def test_files_that_are_no_npy(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(RecordingError, match=r"a\.npy: not a readable \.npy"):
        read_array(tmp_path / "a.npy")


def test_cut_off_anywhere(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((1, 3, 32, 32), "f4"))
    data = path.read_bytes()
    for end in (1, 6, 8, 10, 60, 128, 200, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(RecordingError, match="not a readable"):
            read_array(path)


def test_a_folder_a_missing_file_and_an_npz(tmp_path):
    with pytest.raises(RecordingError, match="not a readable"):
        read_array(tmp_path)
    with pytest.raises(RecordingError, match="not a readable"):
        read_array(tmp_path / "absent.npy")
    np.savez(tmp_path / "a.npz", a=np.zeros((1, 3, 32, 32), "f4"))
    with pytest.raises(RecordingError, match=r"not a readable \.npy"):
        read_array(tmp_path / "a.npz")


@pytest.mark.parametrize("encoded", [b"\x89PNG", None])
def test_to_another_process_and_back(tmp_path, encoded):
    kernels = {"cubic": "70df0d71ef07cb92"}
    network_input = NetworkInput(with_one(7), np.array([0.5, 0.25], "f4"), encoded, kernels, False)
    network_input.save(tmp_path / "i.npz")
    again = NetworkInput.load(tmp_path / "i.npz")
    assert np.array_equal(again.array, network_input.array)
    assert (again.scale_factor.tolist(), again.encoded_image) == ([0.5, 0.25], encoded)
    assert (again.kernels, again.is_portable) == (kernels, False)
