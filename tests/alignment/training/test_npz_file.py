import json

import numpy as np
import pytest
from trained_models import recorded

from picodet.alignment.training import npz_file
from picodet.errors import RecordingError
from scripts.fixtures.trained import GOLDEN

NAME = "training_2021"


def test_what_is_written_is_read_again(tmp_path):
    recording = recorded(NAME)
    samples = 6  # scripts/record/training.py
    npz_file.write(recording, samples, tmp_path / "x.npz")
    again = npz_file.read(tmp_path / "x.npz")
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


def changed(shape, samples):
    """The index says this shape of the first gradient."""

    def change(arrays):
        index = json.loads(arrays["index"].tobytes())
        index["samples"] = samples
        shapes = index["runs"][0]["groups"]["gradients"]
        shapes[next(iter(shapes))] = shape
        arrays["index"] = np.frombuffer(json.dumps(index).encode(), np.uint8)

    return change


def of_run(**changes):
    """What the index says of the first run."""

    def change(arrays):
        index = json.loads(arrays["index"].tobytes())
        index["runs"][0] |= changes
        arrays["index"] = np.frombuffer(json.dumps(index).encode(), np.uint8)

    return change


def taken(row, value):
    """Change an image (row 0), anchor point or box of the first assignment."""

    def change(arrays):
        arrays["0/taken"][row, 0] = value
        if row == 2:
            arrays["0/taken"][0, 0] = 0  # which has three boxes

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("index"), "not a readable recording"),
        (changed(shape=[10**8], samples=0), "index is damaged: ValueError.*not stored completely"),
        (changed(shape=[10**12], samples=0), "not stored completely"),
        (changed(shape=[10**30], samples=6), "not stored completely"),
        (changed(shape=[-1, -1], samples=6), "not stored completely"),
        (changed(shape=[2**21, 2**21], samples=6), "not stored completely"),
        (of_run(losses=[]), "run 0 has 0 steps"),
        (of_run(rate=float("nan")), "learning rate nan"),
        (of_run(rate=float("inf")), "learning rate inf"),
        (of_run(epoch=-1), "run 0 has epoch -1"),
        (taken(0, 2), "an assignment outside of 2 images"),
        (taken(0, -1), "an assignment outside"),
        (taken(1, 10**6), "an assignment outside"),
        (taken(2, 5), "an assignment outside"),
        (taken(2, 4), "to a box that its image does not have"),
        (lambda arrays: arrays.update({"0/taken": np.zeros((3, 4))}), "float64"),
        (lambda arrays: arrays.update(rates=np.array(["a"] * 30)), r"rates of <U1|rates \[30\]"),
        (lambda arrays: arrays.update({"0/boxes": np.array(["a"])}), "boxes"),
        (lambda arrays: arrays.pop("images"), "the index is damaged: KeyError"),
        (lambda arrays: arrays.pop("0/boxes"), "the index is damaged"),
        (index_of("{}"), "the index is damaged: KeyError 'format'"),
        (index_of('{"format": 9}'), "format version 9; this picodet reads 1"),
        (index_of("[" * 5000), "nested too deeply|not a readable"),
        (lambda arrays: arrays.update({"0/taken": np.zeros(3)}), "the index is damaged"),
        (
            lambda arrays: arrays.update({"0/gradients/values": np.zeros(3)}),
            "the index is damaged: ValueError",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change, message):
    with pytest.raises(RecordingError, match=message):
        npz_file.read(spoiled(tmp_path, change))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04\x95"])
def test_what_is_no_npz_is_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="not a readable recording of a training"):
        npz_file.read(path)


def test_no_code_runs(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, index=np.array([print], dtype=object))
    with pytest.raises(RecordingError, match="Python objects"):
        npz_file.read(path)
