import json
import pickle
import random
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from picodet.data.image_checksums import UNKNOWN_CHECKSUM, ImageChecksum
from picodet.errors import EvaluationError
from picodet.evaluation.resume import (
    find_parts,
    part_path,
    read_progress,
    remove_progress,
    write_progress,
)

RUN_SETTINGS = {"model": "x.onnx 1234", "batch": "1"}
FIRST, SECOND = np.arange(21.0).reshape(3, 7) / 7, np.empty((0, 7))
FIRST[:, 0] = [5, 3, 5]  # images


IMAGES = {i: (f"{i}.jpg", ImageChecksum(1000 + i, i)) for i in (3, 4, 5, 8)}


def write(path, ids=(5, 3, 8), rows=(FIRST, SECOND), run_settings=RUN_SETTINGS):
    write_progress(path, run_settings, ids, rows, [ImageChecksum(1000 + i, i) for i in ids])


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "x.npz")
    return tmp_path / "x.npz"


def test_what_was_done_is_read_to_the_last_bit(path):
    """Image 8 is done too: nothing was found in it."""
    ids, (first, second) = read_progress(path, RUN_SETTINGS, IMAGES)
    assert ids == [5, 3, 8]
    assert first.tobytes() == FIRST.tobytes()
    assert second.shape == (0, 7)
    assert list(path.parent.iterdir()) == [path]


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(st.integers(0, 2**62), unique=True, max_size=5),
    arrays(float, (4, 7), elements=numbers),
)
def test_any_ids_and_rows(tmp_path_factory, ids, rows):
    path = tmp_path_factory.mktemp("any") / "x.npz"
    small = [identity % 2**53 for identity in ids]  # rows hold them as float64
    rows[:, 0] = [*small, *[7] * 5][:4]
    ids = list(dict.fromkeys([*small, 7]))
    write(path, ids, [rows])
    found, (again,) = read_progress(path, RUN_SETTINGS, IMAGES)
    assert found == ids
    kept = rows[np.isin(rows[:, 0], ids)]
    assert again.tobytes() == kept.tobytes()


def test_parts_of_several_processes_are_joined(path):
    """Of an image that two have, after an earlier resumption, the rows count once."""
    assert part_path(path, 0) == path
    other = np.full((2, 7), 4.0)
    again = FIRST.copy()
    write(part_path(path, 1), (4,), (other, other[:1]))
    write(part_path(path, 2), (5, 3, 8), (again, SECOND))
    ids, (first, second) = read_progress(path, RUN_SETTINGS, IMAGES)
    assert sorted(ids) == [3, 4, 5, 8]
    assert np.array_equal(first, [*FIRST, *other])
    assert np.array_equal(second, other[:1])


def test_the_first_process_may_have_none(path):
    path.rename(part_path(path, 1))
    assert read_progress(path, RUN_SETTINGS, IMAGES)[0] == [5, 3, 8]
    part_path(path, 1).unlink()
    with pytest.raises(EvaluationError, match=r"x\.npz: no such progress file"):
        read_progress(path, RUN_SETTINGS, IMAGES)


@pytest.mark.parametrize(
    ("run_settings", "named"),
    [
        ({"model": "y.onnx"}, "model was x.onnx 1234, is y.onnx. "),
        ({"batch": "2", "model": "y"}, "model was x.onnx 1234, is y; batch was 1, is 2. "),
        ({"new": "1"}, "new was None, is 1. "),
    ],
)
def test_what_has_changed_is_named(path, run_settings, named):
    with pytest.raises(
        EvaluationError, match=f"belongs to another evaluation: {named}Use the same"
    ):
        read_progress(path, RUN_SETTINGS | run_settings, IMAGES)
    with pytest.raises(EvaluationError, match="batch was 1, is None"):
        read_progress(path, {"model": RUN_SETTINGS["model"]}, IMAGES)


def test_of_every_part(path):
    write(part_path(path, 1), run_settings=RUN_SETTINGS | {"batch": "2"})
    with pytest.raises(
        EvaluationError, match=r"x\.npz\.rank1: belongs to another evaluation: batch was 2"
    ):
        read_progress(path, RUN_SETTINGS, IMAGES)


@pytest.mark.slow
def test_damaged_files_are_refused(path):
    """Cut off anywhere, with bytes changed anywhere: refused, or unharmed."""
    whole = path.read_bytes()
    ids, rows = read_progress(path, RUN_SETTINGS, IMAGES)
    dice = random.Random(0)  # noqa: S311
    damaged = [whole[: dice.randrange(len(whole))] for _ in range(100)]
    for _ in range(600):
        content = bytearray(whole)
        content[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        damaged.append(bytes(content))
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            found, arrays = read_progress(path, RUN_SETTINGS, IMAGES)
        except EvaluationError:
            refused += 1
            continue
        assert found == ids
        assert all(np.array_equal(a, b) for a, b in zip(arrays, rows, strict=True))
    assert refused > 300


def settings_bytes(value=RUN_SETTINGS):
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


@pytest.mark.parametrize(
    "changes",
    [
        {"run_settings": None},
        {"done": None},
        {"counts": None},
        {"rows": None},
        {"checksums": None},
        {"checksums": np.zeros((2, 2), np.int64)},
        {"checksums": np.zeros((3, 2))},
        {"rows": FIRST[:, :6]},
        {"rows": FIRST[0]},
        {"rows": FIRST.astype("U8")},
        {"rows": FIRST.astype(complex)},
        {"rows": np.full((3, 7), np.nan)},
        {"done": np.array([5.0, 3, 8])},
        {"done": np.array([[5, 3, 8]])},
        {"counts": np.array([2, 0])},
        {"counts": np.array([4, -1])},
        {"counts": np.array([], np.int64)},
        {"run_settings": settings_bytes([1])},
        {"run_settings": settings_bytes()[:-1]},
        {"run_settings": np.array([255, 254], np.uint8)},
    ],
)
def test_other_arrays_are_no_progress(path, changes):
    usual = {
        **{"run_settings": settings_bytes(), "done": np.array([5, 3, 8])},
        **{"counts": np.array([3, 0]), "rows": FIRST},
        "checksums": np.array([IMAGES[i][1] for i in (5, 3, 8)]),
    }
    np.savez(path, **usual)
    assert len(read_progress(path, RUN_SETTINGS, IMAGES)[1]) == 2
    np.savez(path, **{name: v for name, v in (usual | changes).items() if v is not None})
    with pytest.raises(EvaluationError, match=r"x\.npz: not the progress file of an"):
        read_progress(path, RUN_SETTINGS, IMAGES)


def test_no_object_is_read(path):
    """A pickle would be code that somebody else wrote."""
    objects = np.array([None], dtype=object)
    np.savez(path, run_settings=settings_bytes(), done=objects, counts=objects, rows=objects)
    with pytest.raises(EvaluationError, match="not the progress file of an"):
        read_progress(path, RUN_SETTINGS, IMAGES)
    for content in (pickle.dumps([1]), b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(EvaluationError, match="not the progress file of an"):
            read_progress(path, RUN_SETTINGS, IMAGES)


def test_what_can_be_no_array_is_refused(path):
    with zipfile.ZipFile(path, "w") as file:
        for name in ("run_settings", "done", "counts", "rows"):
            file.writestr(f"{name}.npy", b"no array")
    with pytest.raises(EvaluationError, match="not the progress file of an"):
        read_progress(path, RUN_SETTINGS, IMAGES)
    np.save(path.with_suffix(".npy"), FIRST)
    path.with_suffix(".npy").rename(path)
    with pytest.raises(EvaluationError, match="not the progress file of an"):
        read_progress(path, RUN_SETTINGS, IMAGES)


def test_other_images_are_named(path):
    changed = IMAGES | {3: ("a/3.jpg", ImageChecksum(1003, 9))}
    with pytest.raises(
        EvaluationError,
        match=r"x\.npz: belongs to other images: a/3\.jpg had 1,003 bytes with checksum 00000003, "
        r"has 1,003 with 00000009\. Put back the original images",
    ):
        read_progress(path, RUN_SETTINGS, changed)
    changed[8] = "8.jpg", ImageChecksum(1, 1)
    with pytest.raises(EvaluationError, match="00000009, and 1 more have changed"):
        read_progress(path, RUN_SETTINGS, changed)


def test_what_was_not_looked_into_may_be_another(path):
    others = {4: ("4.jpg", ImageChecksum(1, 1)), 5: ("5.jpg", UNKNOWN_CHECKSUM)}
    assert read_progress(path, RUN_SETTINGS, IMAGES | others)[0] == [5, 3, 8]
    assert read_progress(path, RUN_SETTINGS, {})[0] == [5, 3, 8]


def test_all_parts_are_removed(path):
    write(part_path(path, 3))
    assert find_parts(path) == [path, part_path(path, 3)]
    remove_progress(path)
    assert list(path.parent.iterdir()) == []


def test_a_name_is_no_pattern(tmp_path):
    path = tmp_path / "[x]*.npz"
    write(part_path(path, 1))
    write(tmp_path / "x9.npz.rank2")
    assert find_parts(path) == [part_path(path, 1)]
