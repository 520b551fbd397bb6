"""A batch from its number alone, and in Paddle's order."""

import json
import subprocess
from dataclasses import replace

import cv2
import drawn_coco
import numpy as np
import pytest
import torch

from picodet.config import Preprocessing
from picodet.data.preprocess import normalize_float
from picodet.data.resize_kernels import kernels_differ, use_kernels
from picodet.errors import ImageError, TrainingError
from picodet.training.data.batch_reader import pad_targets, reader
from picodet.training.data.dataset import read_dataset
from picodet.training.recipes.schema import Augmentation

SIZES = ((64, 64), (96, 64))
ALL = Augmentation(sizes=SIZES)
NONE = Augmentation(sizes=SIZES, crop=False, flip=0.0, distort=None)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = drawn_coco.write_dataset(tmp_path_factory.mktemp("coco"), 10)
    return read_dataset(drawn_coco.annotation_file(folder), folder / "val2017")


def same(one, other):
    return (
        one.image_ids == other.image_ids
        and torch.equal(one.images, other.images)
        and all(map(torch.equal, one.targets, other.targets))
    )


def test_a_batch_depends_on_its_number_alone(dataset):
    first, again = (reader(dataset, ALL, Preprocessing(), 2) for _ in range(2))
    batches = [first.batch(1, step) for step in range(4)]
    assert same(again.batch(1, 2), batches[2])
    assert not same(again.batch(2, 2), batches[2])
    other_seed = reader(dataset, ALL, Preprocessing(), 2, seed=-1).batch(1, 2)
    assert other_seed.image_ids == batches[2].image_ids  # Paddle's order knows no seed
    assert not same(other_seed, batches[2])


def test_portable_images_are_made_without_ipp_floats_too(dataset):
    """Distorted ones are floats; of eight batches some are resized by linear or cubic."""
    numbers = Preprocessing(resize="portable")
    found, native = (reader(dataset, ALL, p, 1) for p in (numbers, Preprocessing()))
    batches = [(found.batch(1, step), native.batch(1, step)) for step in range(8)]
    with use_kernels("portable"):
        assert all(same(batch, native.batch(1, step)) for step, (batch, _) in enumerate(batches))
    assert all(same(*pair) for pair in batches) == (not kernels_differ(1, "float32"))


def test_what_a_batch_consists_of(dataset):
    batch = reader(dataset, ALL, Preprocessing(), 4).batch(0, 0)
    assert batch.images.dtype == torch.float32
    assert batch.images.shape[:2] == (4, 3)
    assert tuple(batch.images.shape[2:]) in SIZES
    boxes, classes, valid = batch.targets
    assert boxes.dtype == torch.float32
    assert classes.dtype == torch.int64
    assert valid.dtype == torch.bool
    assert (valid.sum(dim=1) > 0).all()
    assert (boxes[~valid] == 0).all()
    assert (boxes[valid][:, 2:] > boxes[valid][:, :2]).all()


def test_without_augmentation_a_image_is_what_it_is(dataset):
    batch = reader(dataset, NONE, Preprocessing(), 1).batch(0, 3)
    index = dataset.image_ids.tolist().index(batch.image_ids[0])
    image = cv2.imread(str(dataset.folder / dataset.files[index]))
    height, width = batch.images.shape[2:]
    candidates = [
        normalize_float(
            cv2.resize(
                image,
                None,
                fx=width / image.shape[1],
                fy=height / image.shape[0],
                interpolation=interp,
            ).astype(np.float32),
            Preprocessing(),
        )
        for interp in range(5)
    ]
    assert any(np.array_equal(batch.images[0].numpy(), each) for each in candidates)
    factors = np.array([width / image.shape[1], height / image.shape[0]] * 2)
    expected = dataset.boxes_of(index) * factors
    assert np.allclose(batch.targets.boxes[0].numpy(), expected, rtol=1e-6)


def test_an_epoch_has_each_image_once(dataset):
    made = reader(dataset, NONE, Preprocessing(), 2)
    assert made.steps_per_epoch == len(dataset) // 2
    seen = np.concatenate([made.image_indices(5, step) for step in range(made.steps_per_epoch)])
    assert len(set(seen.tolist())) == made.steps_per_epoch * 2


def test_ranks_share_what_one_process_would_read(dataset):
    whole = reader(dataset, NONE, Preprocessing(), 4)
    ranks = [reader(dataset, NONE, Preprocessing(), 2, rank=i, ranks=2) for i in range(2)]
    assert len(dataset) % 2 == 0
    for step in range(whole.steps_per_epoch):
        parts = [each.image_indices(3, step).tolist() for each in ranks]
        assert parts[0] + parts[1] == whole.image_indices(3, step).tolist()


def test_too_few_images(dataset):
    with pytest.raises(TrainingError, match=r"a step needs 50 in each of 2 processes"):
        reader(dataset, NONE, Preprocessing(), 50, ranks=2)


def test_a_bad_image_is_named(dataset, tmp_path):
    for file in dataset.files:
        (tmp_path / file).write_bytes(b"no image")
    broken = reader(replace(dataset, folder=tmp_path), NONE, Preprocessing(), 2)
    first = int(broken.image_indices(0, 0)[0])
    name, identity = dataset.files[first], dataset.image_ids[first]
    with pytest.raises(ImageError, match=rf"{name}: .*\(image {identity}\)"):
        broken.batch(0, 0)


def test_mosaics_end(dataset):
    """After epoch 2, and not after 1: ppdet's workers are an epoch behind."""
    wanted = replace(NONE, mosaic=True, mosaic_epochs=2)
    made = reader(dataset, wanted, Preprocessing(), 8)
    own = reader(dataset, NONE, Preprocessing(), 8)
    boxes = [int(made.batch(epoch, 0).targets.valid.sum()) for epoch in range(4)]
    plain = [int(own.batch(epoch, 0).targets.valid.sum()) for epoch in range(4)]
    assert [a > b for a, b in zip(boxes, plain, strict=True)] == [True, True, True, False]
    assert boxes[3] == plain[3]


def test_images_without_boxes_are_padded():
    boxes = [np.zeros((0, 4), np.float32), np.float32([[1, 2, 3, 4], [5, 6, 7, 8]])]
    padded = pad_targets(boxes, [np.zeros(0, np.int64), np.array([3, 9])])
    assert padded.boxes.tolist() == [[[0] * 4] * 2, [[1, 2, 3, 4], [5, 6, 7, 8]]]
    assert padded.classes.tolist() == [[0, 0], [3, 9]]
    assert padded.valid.tolist() == [[False, False], [True, True]]
    assert pad_targets(boxes[:1], [np.zeros(0, np.int64)]).boxes.shape == (1, 1, 4)


def test_the_order_of_the_images(dataset):
    """Seven images, two processes, two at a time: by Paddle 3.3.1, for epochs 0 and 1."""
    recorded = [[[[6, 2], [3, 0]], [[0, 2], [0, 4]]], [[[1, 0], [5, 4]], [[1, 6], [3, 5]]]]
    seven = replace(dataset, files=("",) * 7)
    ranks = [reader(seven, NONE, Preprocessing(), 2, rank=i, ranks=2) for i in range(2)]
    assert recorded == [
        [[each.image_indices(epoch, step).tolist() for step in range(2)] for epoch in range(2)]
        for each in ranks
    ]


PADDLE = """
import json
from paddle.io import DistributedBatchSampler
order = {}
for ranks, batch in ((1, 4), (3, 2)):
    for rank in range(ranks):
        sampler = DistributedBatchSampler(range(23), batch, ranks, rank, True, True)
        order[f"{ranks} {batch} {rank}"] = [list(sampler) for _ in range(3)]
print(json.dumps(order))
"""


@pytest.mark.slow
@pytest.mark.paddle
def test_the_order_is_paddles(dataset, paddle_python):
    command = [paddle_python, "-W", "ignore", "-c", PADDLE]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    many = replace(dataset, files=("",) * 23)
    for key, epochs in json.loads(output.splitlines()[-1]).items():
        ranks, batch, rank = map(int, key.split())
        made = reader(many, NONE, Preprocessing(), batch, 0, rank, ranks)
        for epoch, steps in enumerate(epochs):
            assert len(steps) == made.steps_per_epoch
            assert steps == [made.image_indices(epoch, step).tolist() for step in range(len(steps))]
