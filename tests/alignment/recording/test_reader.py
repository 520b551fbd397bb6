"""Recordings are untrusted files: damaged ones are rejected, and no code runs."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from picodet.alignment.recording.index import INDEX_KEY, SAMPLES_KEY, content_key, to_json
from picodet.alignment.recording.reader import Recording
from picodet.alignment.recording.writer import RecordingWriter
from picodet.errors import RecordingError
from tests.alignment.recording.test_writer import ARRAYS, FED, LEVEL, index_of, write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "r.safetensors"


def test_full(path):
    keys = write(path, ARRAYS)
    with Recording(path) as recording:
        for name, key in keys.items():
            assert recording.has(key)
            assert recording.tensor(key).tobytes() == ARRAYS[name].tobytes()
        positions, values = recording.samples(keys["plain"])
        assert positions.tolist() == values.tolist() == list(range(24))


def test_summary(path):
    arrays = {"long": np.arange(100.0), "wide": np.arange(20.0).reshape(4, 5), "kept": np.ones(6)}
    keys = write(path, arrays, samples=3, whole=("kept",))
    with Recording(path) as recording:
        assert [recording.has(key) for key in keys.values()] == [False, False, True]
        positions, values = recording.samples(keys["wide"])
        assert positions.tolist() == values.tolist() == [0, 9, 19]
        assert recording.samples(keys["long"])[1].tolist() == [0, 49, 99]
        assert recording.samples(keys["kept"])[1].tolist() == [1] * 6
        with pytest.raises(RecordingError, match="record again without --summary"):
            recording.tensor(keys["long"])


def test_a_tensor_sampled_first_and_wanted_whole_later_moves_no_samples(path):
    arrays = {"a": np.arange(50.0), "b": np.arange(9.0)}
    with RecordingWriter(2) as writer:
        a, b = (writer.add(array) for array in arrays.values())
        writer.add(arrays["a"], whole=True)
        writer.write(path, index_of(writer))
    with Recording(path) as recording:
        assert recording.samples(b)[1].tolist() == [0, 8]
        assert recording.tensor(a).tolist() == arrays["a"].tolist()


@pytest.mark.parametrize("content", [b"", b"x", bytes(8), b"\xff" * 8, b"{}", bytes(100)])
def test_files_that_are_no_safetensors(path, content):
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="not a readable recording"):
        Recording(path)


def test_a_folder_and_a_missing_file(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RecordingError, match="not a readable recording"):
            Recording(path)


def test_a_safetensors_that_is_no_recording(path):
    save_file({"a": np.ones(2)}, path, {"format": "pt"})
    with pytest.raises(RecordingError, match="not a recording; make one with picodet-align"):
        Recording(path)


@pytest.mark.parametrize(
    "header", ["", "null", "[]", "7", '"text"', "{", "{}", "[" * 100_000, '{"format": 1}']
)
def test_a_header_that_is_no_index(path, header):
    save_file({"a": np.ones(2)}, path, {INDEX_KEY: header})
    with pytest.raises(RecordingError):
        Recording(path)


def changed(path, change):
    """Write a recording of two tensors whose index is changed."""
    arrays = {"a": np.zeros((2, 3), "f4"), "b": np.arange(4.0)}
    with RecordingWriter(0) as writer:
        a, b = (writer.add(array) for array in arrays.values())
        content = json.loads(json.dumps(to_json(index_of(writer))))
    change(content, a, b)
    arrays |= {"fed": FED, "level": LEVEL}
    stored = {content_key(array): array for array in arrays.values()}
    save_file(stored, path, {INDEX_KEY: json.dumps(content)})


def test_unchanged_it_is_read(path):
    changed(path, lambda *_: None)
    with Recording(path) as recording:
        assert recording.tensor(recording.index.input).shape == FED.shape


def shape(new):
    return lambda content, a, b: content["tensors"][a].update(shape=new)


def ending(**changes):
    return lambda content, a, b: content["ending"].update(changes)


def wrong_key(part):
    """Replace a key by that of another stored tensor."""
    return lambda content, a, b: content["ending"].update({part: a})


def operators(*rows):
    """Rows of kind, the operators of its inputs, the number of outputs, and its weights."""

    def change(content, a, b):
        content["weights"] = [{"name": "w", "key": a}]
        content["operators"] = [
            {
                **{"kind": kind, "name": kind, "weights": weights},
                "sources": [{"operator": number, "index": 0} for number in sources],
                "outputs": [a] * outputs,
            }
            for kind, sources, outputs, weights in rows
        ]

    return change


CALL = {"path": "neck", "number": 0, "type": "Conv", "inputs": [], "outputs": []}
LIES = {
    "step": lambda content, a, b: content.update(steps=[{"name": "decoded", "key": a}]),
    "step twice": lambda content, a, b: content.update(steps=[{"name": "decode", "key": a}] * 2),
    "step without an image": lambda content, a, b: content.update(
        steps=[{"name": "decode", "key": a}]
    ),
    "one level": lambda content, a, b: content["ending"].update(
        scores=content["ending"]["scores"][:1]
    ),
    "no level": ending(scores=[], sides=[]),
    "kept": wrong_key("kept"),
    "boxes": wrong_key("boxes"),
    "scores of boxes": wrong_key("box_scores"),
    "image": lambda content, a, b: content.update(picture=b),
    "input of another form": lambda content, a, b: content.update(input=b),
    "input of another precision": lambda content, a, b: content.update(precision="float32"),
    "a scale factor of nothing": lambda content, a, b: content.update(scale_factor=[0, 1]),
    "a scale factor beyond": lambda content, a, b: content.update(scale_factor=[1e999, 1]),
    "a size beyond": shape([1e999]),
    "settings": lambda content, a, b: content["settings"].update(std=[0, 1, 1]),
    "an operator that is not there": operators(("relu", [99], 1, {})),
    "an operator that comes later": operators(("relu", [1], 1, {}), ("relu", [-1], 1, {})),
    "an operator before the first": operators(("relu", [-2], 1, {})),
    "an operator without outputs": operators(("relu", [-1], 0, {})),
    "a weight that is not there": operators(("conv", [-1], 1, {"weight": "x"})),
    "a convolution without a weight": operators(("conv", [-1], 1, {"bias": "w"})),
    "a call twice": lambda content, a, b: content.update(calls=[CALL, CALL]),
    "a call below zero": lambda content, a, b: content.update(calls=[{**CALL, "number": -1}]),
    "a weight twice": lambda content, a, b: content.update(weights=[{"name": "w", "key": a}] * 2),
    "an answer": lambda content, a, b: content.update(probes={"NMS/ties": a}),
    "shape": shape([3, 2]),
    "dimensions": shape([2, 3, 1]),
    "negative": shape([-2, -3]),
    "huge": shape([2**62, 2**62, 4]),
    "dtype": lambda content, a, b: content["tensors"][a].update(dtype="float64"),
    "tensor that is missing": lambda content, a, b: content["tensors"].update(
        absent=content["tensors"][a]
    ),
    "samples that are missing": lambda content, a, b: content.update(
        samples=4, tensors={**content["tensors"], "absent": content["tensors"][a]}
    ),
    "negative samples": lambda content, a, b: content.update(
        samples=-4, tensors={**content["tensors"], "absent": content["tensors"][a]}
    ),
    "another format": lambda content, a, b: content.update(format=99),
    "input": lambda content, a, b: content.update(input="absent"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_index_that_lies(path, lie):
    changed(path, LIES[lie])
    with pytest.raises(RecordingError, match="index is damaged"):
        Recording(path)


def test_samples_of_another_count_are_refused(path):
    write(path, {"a": np.arange(100.0), "b": np.arange(5.0)}, samples=3)
    with Recording(path) as recording:
        content = to_json(recording.index)
    arrays = {content_key(FED): FED, content_key(LEVEL): LEVEL, SAMPLES_KEY: np.zeros(5)}
    save_file(arrays, path, {INDEX_KEY: json.dumps(content)})
    with pytest.raises(RecordingError, match=r"samples \[5\]; expected \[6\]"):
        Recording(path)


def test_cut_off_anywhere_it_is_refused(path):
    write(path, ARRAYS)
    data = path.read_bytes()
    for end in sorted({0, 4, 8, 9, len(data) - 1, *range(0, len(data), 97)}):
        path.write_bytes(data[:end])
        with pytest.raises(RecordingError):
            Recording(path)


@pytest.mark.parametrize("samples", [0, 3])
def test_one_bit_of_a_tensor_is_a_damaged_recording(path, samples):
    write(path, ARRAYS, samples)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"the checksum of .* is wrong.*record it again"):
        read_all(path)


def read_all(path):
    with Recording(path) as recording:
        for key in recording.index.tensors:
            recording.samples(key)
            if recording.has(key):
                recording.tensor(key)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [0, 3])
def test_damage_is_a_recording_error_and_nothing_else(path, samples):
    """Flipped bits and replaced bytes in header and tensors; some files stay readable."""
    write(path, ARRAYS, samples)
    data, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            place = rng.integers(len(data))
            damaged[place] ^= 1 << rng.integers(8) if rng.integers(2) else rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_all(path)
        except RecordingError:
            refused += 1
    assert refused > 100
