import numpy as np
import pytest

from picodet.alignment.training.batch import read_batch, synthetic_batch
from picodet.config import Preprocessing
from picodet.errors import RecordingError

SIZE = (96, 128)


@pytest.fixture
def batch():
    return synthetic_batch(SIZE, 3, Preprocessing())


def saved(path, batch, **changes):
    arrays = {"images": batch.images, **batch.boxes._asdict(), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_the_synthetic_batch(batch):
    assert batch.images.shape == (2, 3, *SIZE)
    assert batch.boxes.valid.sum(axis=1).tolist() == [3, 5]
    boxes = batch.boxes.boxes[batch.boxes.valid]
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (SIZE[1], SIZE[0])).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert np.abs(batch.boxes.boxes[1, 3] - batch.boxes.boxes[1, 2]).max() <= 9  # nearly the same
    again = synthetic_batch(SIZE, 3, Preprocessing())
    assert np.array_equal(again.images, batch.images)


def test_the_last_image_without_its_boxes(batch):
    emptied = batch.without_last_boxes()
    assert emptied.valid.sum(axis=1).tolist() == [3, 0]
    assert not emptied.boxes[1].any()
    assert np.array_equal(emptied.boxes[0], batch.boxes.boxes[0])


def test_a_batch_of_ones_own_is_read_again(tmp_path, batch):
    found = read_batch(saved(tmp_path / "x.npz", batch), num_classes=3)
    assert np.array_equal(found.images, batch.images)
    assert np.array_equal(found.boxes.classes, batch.boxes.classes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": None}, "no array boxes; expected the arrays images, boxes, classes, valid"),
        ({"images": np.zeros((2, 3, 90, 128))}, "multiples of 32"),
        ({"boxes": np.zeros((2, 5, 3))}, r": images \[2, 3, 96, 128\], boxes \[2, 5, 3\]"),
        ({"boxes": np.full((2, 5, 4), np.nan)}, "values that are NaN or Inf"),
        ({"classes": np.full((2, 5), 3)}, r"classes 3 \.\. 3; the model has 0 \.\. 2"),
        (
            {"valid": np.tile([False, True, True, True, True], (2, 1))},
            "put the valid boxes of each",
        ),
    ],
)
def test_an_invalid_batch_is_an_error(tmp_path, batch, changes, message):
    with pytest.raises(RecordingError, match=message):
        read_batch(saved(tmp_path / "x.npz", batch, **changes), num_classes=3)


def test_no_npz_at_all(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(RecordingError, match=r"not a readable \.npz"):
        read_batch(path, num_classes=3)
