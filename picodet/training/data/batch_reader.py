"""A batch from its number alone: which pictures, and everything that is drawn about them.

Nothing is remembered between two batches, so that any process can make any of them, and a training
that goes on after a stop sees what it would have seen.
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
from picodet.data.resize_kernels import using
from picodet.errors import ImageError, TrainingError
from picodet.training.data.batch import Batch, Targets
from picodet.training.data.color_jitter import distort
from picodet.training.data.dataset import Samples
from picodet.training.data.mosaic import PICTURES, mosaic, shift_colours
from picodet.training.data.transforms import (
    Seen,
    crop,
    draw_resize,
    flip,
    normalise_into,
    resize,
    resize_boxes,
)
from picodet.training.recipes.schema import Augmentation

WORD = 1 << 32  # a seed is a word


@dataclass(frozen=True)
class Reader:
    """What one rank reads of the samples."""

    samples: Samples
    augmentation: Augmentation
    preprocessing: Preprocessing
    per_step: int  # pictures of this rank
    seed: int
    rank: int
    ranks: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches that are full; the rest of an epoch's pictures is left out."""
        return -(-len(self.samples) // self.ranks) // self.per_step

    @property
    def largest(self) -> int:
        """Numbers in the pictures of a batch, at the most."""
        return self.per_step * 3 * max(height * width for height, width in self.augmentation.sizes)

    def batch(self, epoch: int, step: int, room: Tensor | None = None) -> Batch:
        """room: [largest] or more float32, where the pictures shall be written.

        Raises ImageError, with its id, for a picture that cannot be read.
        """
        key = (self.seed % WORD, epoch, step, self.rank)
        random, python = np.random.RandomState(key), Random(repr(key))  # noqa: S311
        size, interp = draw_resize(self.augmentation.sizes, random)
        pictures = self.pictures(epoch, step)
        shape = (self.per_step, 3, *size)
        images = torch.empty(shape) if room is None else room[: math.prod(shape)].view(shape)
        boxes, classes = [], []
        with using(self.preprocessing.resize):
            for place, picture in enumerate(pictures.tolist()):
                seen = self._augmented(picture, epoch, random, python)
                height, width = seen.picture.shape[:2]
                boxes.append(resize_boxes(seen.boxes, (height, width), size))
                classes.append(seen.classes)
                resized = resize(seen.picture, size, interp)
                normalise_into(images[place].numpy(), resized, self.preprocessing)
        ids = tuple(self.samples.image_ids[pictures].tolist())
        return Batch(images, pad(boxes, classes), ids)

    def pictures(self, epoch: int, step: int) -> np.ndarray:
        """[per_step] indices of samples, as Paddle's DistributedBatchSampler deals them out.

        Its order depends on the epoch alone (paddle/io/dataloader/batch_sampler.py), ours too:
        another seed changes what is done to the pictures.
        """
        number = len(self.samples)
        order = np.arange(-(-number // self.ranks) * self.ranks) % number
        np.random.RandomState(epoch).shuffle(order)
        first = (step * self.ranks + self.rank) * self.per_step
        return order[first : first + self.per_step]

    def _augmented(
        self, picture: int, epoch: int, random: np.random.RandomState, python: Random
    ) -> Seen:
        wanted = self.augmentation
        if wanted.mosaic:
            # ppdet's workers of an epoch are started in the one before it, and believe to be there:
            # data/reader.py:195-202, engine/trainer.py
            if max(epoch - 1, 0) < wanted.mosaic_epochs:
                others = [random.randint(len(self.samples)) for _ in range(PICTURES - 1)]
                seen = mosaic([self._seen(i) for i in (picture, *others)], random, python)
            else:
                seen = self._seen(picture)
            seen = seen._replace(picture=shift_colours(seen.picture, random))
            return flip(seen, wanted.flip, random)
        seen = self._seen(picture)
        if wanted.crop:
            seen = crop(seen, random)
        seen = flip(seen, wanted.flip, random)
        if wanted.distort:
            seen = seen._replace(picture=distort(seen.picture, wanted.distort, random))
        return seen

    def _seen(self, picture: int) -> Seen:
        samples = self.samples
        try:
            image = read_image(samples.folder / samples.files[picture])
        except ImageError as error:
            raise ImageError(f"{error} (image {samples.image_ids[picture]})") from error
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        return Seen(rgb, samples.boxes_of(picture), samples.classes_of(picture))


def reader(
    samples: Samples,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    per_step: int,
    seed: int = 0,
    rank: int = 0,
    ranks: int = 1,
) -> Reader:
    """Raises TrainingError where an epoch has no step."""
    made = Reader(samples, augmentation, preprocessing, per_step, seed, rank, ranks)
    if made.steps_per_epoch == 0:
        raise TrainingError(
            f"{samples.folder}: a step takes {per_step} pictures in each of {ranks} processes, and "
            f"there are {len(samples)} with a box; --batch takes fewer"
        )
    return made


def pad(boxes: list[np.ndarray], classes: list[np.ndarray]) -> Targets:
    """PadGT: boxes [n, 4] and classes [n] of each picture, with zeros up to the most."""
    most = max(1, *map(len, boxes))
    padded = Targets(
        torch.zeros(len(boxes), most, 4),
        torch.zeros(len(boxes), most, dtype=torch.int64),
        torch.zeros(len(boxes), most, dtype=torch.bool),
    )
    for place, (its_boxes, its_classes) in enumerate(zip(boxes, classes, strict=True)):
        number = len(its_boxes)
        padded.boxes[place, :number] = torch.from_numpy(its_boxes)
        padded.classes[place, :number] = torch.from_numpy(its_classes)
        padded.valid[place, :number] = True
    return padded
