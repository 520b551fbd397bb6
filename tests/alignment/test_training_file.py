import numpy as np
import pytest
from trained import GOLDEN
from trained_models import recorded

from picodet.alignment import training_file
from picodet.errors import RecordingError

NAME = "training_2021"


def test_what_is_written_is_read_again(tmp_path):
    recording = recorded(NAME)
    samples = 6  # tools/record_training.py
    training_file.write(recording, samples, tmp_path / "x.npz")
    again = training_file.read(tmp_path / "x.npz")
    assert again.runs[0].losses == recording.runs[0].losses
    assert again.weights == recording.weights
    assert np.array_equal(again.images, recording.images)
    for name, known in recording.runs[0].gradients.items():
        other = again.runs[0].gradients[name]
        assert (other.shape, other.measures) == (known.shape, known.measures)
        assert np.array_equal(other.values, known.values)


def stored():
    with np.load(GOLDEN / f"{NAME}.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def spoiled(tmp_path, change):
    arrays = stored()
    change(arrays)
    np.savez(tmp_path / "x.npz", allow_pickle=False, **arrays)
    return tmp_path / "x.npz"


def index_of(text):
    return lambda arrays: arrays.update(index=np.frombuffer(text.encode(), np.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("index"), "not a readable recording"),
        (lambda arrays: arrays.pop("images"), "its index is damaged: KeyError"),
        (lambda arrays: arrays.pop("0/boxes"), "its index is damaged"),
        (index_of("{}"), "its index is damaged: KeyError 'format'"),
        (index_of('{"format": 9}'), "format 9, this version reads 1"),
        (index_of("[" * 5000), "nested too deeply|not a readable"),
        (lambda arrays: arrays.update({"0/taken": np.zeros(3)}), "its index is damaged"),
        (
            lambda arrays: arrays.update({"0/gradients/values": np.zeros(3)}),
            "its index is damaged: ValueError",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change, message):
    with pytest.raises(RecordingError, match=message):
        training_file.read(spoiled(tmp_path, change))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04\x95"])
def test_what_is_no_npz_is_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="not a readable recording of a training"):
        training_file.read(path)


def test_no_code_runs(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, index=np.array([print], dtype=object))
    with pytest.raises(RecordingError, match="allow_pickle"):
        training_file.read(path)
