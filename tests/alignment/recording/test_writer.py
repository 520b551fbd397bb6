"""The writer's files, read by the safetensors library."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from picodet.alignment.recording.index import INDEX_KEY, SAMPLES_KEY, RecordedOutputs, content_key
from picodet.alignment.recording.writer import RecordingWriter
from picodet.errors import OutputError, RecordingError
from tests.alignment.recording.test_index import INDEX

ARRAYS = {
    "plain": np.arange(24, dtype="f4").reshape(2, 3, 4),
    "strided": np.arange(24, dtype="f8").reshape(4, 6)[::2, 1::2],
    "turned": np.arange(6, dtype="i8").reshape(2, 3).T,
    "no dimension": np.array(-0.0),
    "empty": np.zeros((0, 4), "f4"),
    "bytes": np.arange(5, dtype="u1"),
    "not finite": np.array([1, np.nan, -np.inf, 3], "f4"),
}


FED, LEVEL = np.zeros((1, 3, 64, 96)), np.zeros((1, 2, 4))  # of any recording


def index_of(writer):
    """A minimal index."""
    fed, level = (writer.add(array, whole=True) for array in (FED, LEVEL))
    nothing = {"weights": (), "steps": (), "calls": (), "operators": (), "probes": {}}
    return replace(
        INDEX,
        samples=writer.samples,
        input=fed,
        image=None,
        network_outputs=RecordedOutputs((level,) * 4, (level,) * 4),
        tensors=writer.tensors,
        **nothing,
    )


def write(path, arrays, samples=0, whole=()):
    with RecordingWriter(samples) as writer:
        keys = {name: writer.add(array, name in whole) for name, array in arrays.items()}
        writer.write(path, index_of(writer))
    return keys


def test_the_library_reads_our_files(tmp_path):
    keys = write(tmp_path / "r.safetensors", ARRAYS)
    stored = load_file(tmp_path / "r.safetensors")
    assert stored.keys() == {*keys.values(), content_key(FED), content_key(LEVEL)}
    for name, key in keys.items():
        assert stored[key].dtype == ARRAYS[name].dtype
        assert stored[key].shape == ARRAYS[name].shape
        assert stored[key].tobytes() == ARRAYS[name].tobytes()


def test_equal_tensors_are_stored_once(tmp_path):
    twice = {"a": ARRAYS["plain"], "b": ARRAYS["plain"].copy()}
    keys = write(tmp_path / "r.safetensors", twice)
    assert keys["a"] == keys["b"] == content_key(ARRAYS["plain"])
    written = load_file(tmp_path / "r.safetensors").keys()
    assert written == {keys["a"], content_key(FED), content_key(LEVEL)}


def test_statistics_are_of_the_finite_values(tmp_path):
    with RecordingWriter(0) as writer:
        stored = writer.tensors[writer.add(ARRAYS["not finite"])]
        assert (stored.low, stored.high, stored.mean, stored.nan, stored.inf) == (1, 3, 2, 1, 1)
        stored = writer.tensors[writer.add(np.full(2, np.nan))]
        assert (stored.low, stored.high, stored.mean, stored.nan, stored.inf) == (0, 0, 0, 2, 0)


def test_a_great_sum_does_not_count_as_infinity():
    with RecordingWriter(0) as writer:
        stored = writer.tensors[writer.add(np.full(4, 2e38, "f4"))]
    assert (stored.nan, stored.inf) == (0, 0)
    assert stored.mean == pytest.approx(2e38)


def test_a_summary_holds_samples_and_whole_tensors_on_request(tmp_path):
    arrays = {"long": np.arange(100.0), "short": np.arange(3, dtype="f4"), "kept": np.ones((5, 6))}
    keys = write(tmp_path / "r.safetensors", arrays, samples=5, whole=("kept",))
    stored = load_file(tmp_path / "r.safetensors")
    assert stored.keys() == {keys["kept"], content_key(FED), content_key(LEVEL), SAMPLES_KEY}
    assert stored[SAMPLES_KEY].dtype == np.float64
    assert stored[SAMPLES_KEY].tolist() == [0, 24, 49, 74, 99, 0, 1, 2]


def test_a_tensor_that_is_sampled_first_and_then_wanted_whole(tmp_path):
    array, other = np.arange(100.0), np.arange(7.0)
    with RecordingWriter(2) as writer:
        writer.add(array)
        writer.add(other)
        key = writer.add(array, whole=True)
        writer.write(tmp_path / "r.safetensors", index_of(writer))
    stored = load_file(tmp_path / "r.safetensors")
    assert stored[key].tolist() == array.tolist()
    assert stored[SAMPLES_KEY].tolist() == [0, 6]


def test_the_header_holds_the_index_and_tensors_are_aligned(tmp_path):
    path = tmp_path / "r.safetensors"
    write(path, ARRAYS)
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0
    with safe_open(path, "np") as file:
        assert json.loads(file.metadata()[INDEX_KEY])["file"] == "a.pdparams"


@pytest.mark.parametrize("dtype", ["f2", "c8", "bool", "U3"])
def test_other_dtypes_are_refused(dtype):
    with RecordingWriter(0) as writer, pytest.raises(RecordingError, match="cannot be recorded"):
        writer.add(np.zeros(2, dtype))


def test_the_file_appears_whole_or_not_at_all(tmp_path):
    with RecordingWriter(0) as writer:
        index = index_of(writer)
        with pytest.raises(OutputError, match="cannot be written"):
            writer.write(tmp_path / "no" / "r.safetensors", index)
        (tmp_path / "r.safetensors").mkdir()
        with pytest.raises(OutputError, match="is a directory"):
            writer.write(tmp_path / "r.safetensors", index)
    assert [path.name for path in tmp_path.iterdir()] == ["r.safetensors"]


def test_a_full_disk_is_an_error_with_what_to_do(monkeypatch):
    class Full:
        def tell(self):
            return 0

        def write(self, _):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    with RecordingWriter(0) as writer:
        writer._data.close()
        monkeypatch.setattr(writer, "_data", Full())
        with pytest.raises(OutputError, match="No space left on device; free space, or set TMP"):
            writer.add(ARRAYS["plain"])
