"""Read and augment a batch; its content follows from seed, epoch, step and rank alone.

There is no state between batches: any worker can make any of them, and a resumed training sees the
same images.
"""

import math
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np
import torch
from torch import Tensor

from picodet.config import Preprocessing
from picodet.data.preprocess import read_image
from picodet.data.resize_kernels import use_kernels
from picodet.errors import ImageError, TrainingError
from picodet.training.data.batch import Batch, Targets
from picodet.training.data.color_jitter import distort
from picodet.training.data.dataset import TrainDataset
from picodet.training.data.mosaic import NUM_IMAGES, augment_hsv, mosaic
from picodet.training.data.transforms import (
    LabeledImage,
    crop,
    draw_resize,
    flip,
    normalize_into,
    resize,
    resize_boxes,
)
from picodet.training.recipes.schema import Augmentation

WORD = 1 << 32  # seeds are 32-bit


@dataclass(frozen=True)
class BatchReader:
    """Makes the batches of one rank."""

    dataset: TrainDataset
    augmentation: Augmentation
    preprocessing: Preprocessing
    batch_size: int  # images per batch of this rank
    seed: int
    rank: int
    ranks: int

    @property
    def steps_per_epoch(self) -> int:
        """Full batches of an epoch; the last incomplete one is dropped."""
        return -(-len(self.dataset) // self.ranks) // self.batch_size

    @property
    def max_values(self) -> int:
        """The most floats that the images of a batch have."""
        return (
            self.batch_size * 3 * max(height * width for height, width in self.augmentation.sizes)
        )

    def batch(self, epoch: int, step: int, buffer: Tensor | None = None) -> Batch:
        """The batch of a step (both counted from 0).

        buffer: [max_values] or more float32, memory for the images; None: allocated here. Raises
        ImageError, with the image's id, for an image that cannot be read.
        """
        key = (self.seed % WORD, epoch, step, self.rank)
        random, python_rng = np.random.RandomState(key), Random(repr(key))  # noqa: S311
        size, interp = draw_resize(self.augmentation.sizes, random)
        image_indices = self.image_indices(epoch, step)
        shape = (self.batch_size, 3, *size)
        images = torch.empty(shape) if buffer is None else buffer[: math.prod(shape)].view(shape)
        boxes, classes = [], []
        with use_kernels(self.preprocessing.resize):
            for slot, index in enumerate(image_indices.tolist()):
                sample = self._augment(index, epoch, random, python_rng)
                height, width = sample.image.shape[:2]
                boxes.append(resize_boxes(sample.boxes, (height, width), size))
                classes.append(sample.classes)
                resized = resize(sample.image, size, interp)
                normalize_into(images[slot].numpy(), resized, self.preprocessing)
        ids = tuple(self.dataset.image_ids[image_indices].tolist())
        return Batch(images, pad_targets(boxes, classes), ids)

    def image_indices(self, epoch: int, step: int) -> np.ndarray:
        """[batch_size] indices, as Paddle's DistributedBatchSampler chooses them.

        As there, the order depends on the epoch alone (paddle/io/dataloader/batch_sampler.py); the
        seed changes the augmentation only.
        """
        number = len(self.dataset)
        order = np.arange(-(-number // self.ranks) * self.ranks) % number
        np.random.RandomState(epoch).shuffle(order)
        first = (step * self.ranks + self.rank) * self.batch_size
        return order[first : first + self.batch_size]

    def _augment(
        self, index: int, epoch: int, random: np.random.RandomState, python_rng: Random
    ) -> LabeledImage:
        augmentation = self.augmentation
        if augmentation.mosaic:
            # ppdet starts the workers of an epoch in the one before it, whose number they keep:
            # data/reader.py:195-202, engine/trainer.py
            if max(epoch - 1, 0) < augmentation.mosaic_epochs:
                others = [random.randint(len(self.dataset)) for _ in range(NUM_IMAGES - 1)]
                sample = mosaic([self._load(i) for i in (index, *others)], random, python_rng)
            else:
                sample = self._load(index)
            sample = sample._replace(image=augment_hsv(sample.image, random))
            return flip(sample, augmentation.flip, random)
        sample = self._load(index)
        if augmentation.crop:
            sample = crop(sample, random)
        sample = flip(sample, augmentation.flip, random)
        if augmentation.distort:
            sample = sample._replace(image=distort(sample.image, augmentation.distort, random))
        return sample

    def _load(self, index: int) -> LabeledImage:
        dataset = self.dataset
        try:
            image = read_image(dataset.folder / dataset.files[index])
        except ImageError as error:
            raise ImageError(f"{error} (image {dataset.image_ids[index]})") from error
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        return LabeledImage(rgb, dataset.boxes_of(index), dataset.classes_of(index))


def reader(
    dataset: TrainDataset,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    batch_size: int,
    seed: int = 0,
    rank: int = 0,
    ranks: int = 1,
) -> BatchReader:
    """A BatchReader. Raises TrainingError if there are too few images for one step."""
    made = BatchReader(dataset, augmentation, preprocessing, batch_size, seed, rank, ranks)
    if made.steps_per_epoch == 0:
        raise TrainingError(
            f"{dataset.folder}: {len(dataset)} images with a box; a step needs {batch_size} in "
            f"each of {ranks} processes; use a smaller --batch"
        )
    return made


def pad_targets(boxes: list[np.ndarray], classes: list[np.ndarray]) -> Targets:
    """Boxes [n, 4] and classes [n] of each image -> Targets, padded by zeros (ppdet's PadGT)."""
    most = max(1, *map(len, boxes))
    padded = Targets(
        torch.zeros(len(boxes), most, 4),
        torch.zeros(len(boxes), most, dtype=torch.int64),
        torch.zeros(len(boxes), most, dtype=torch.bool),
    )
    for slot, (its_boxes, its_classes) in enumerate(zip(boxes, classes, strict=True)):
        number = len(its_boxes)
        padded.boxes[slot, :number] = torch.from_numpy(its_boxes)
        padded.classes[slot, :number] = torch.from_numpy(its_classes)
        padded.valid[slot, :number] = True
    return padded
