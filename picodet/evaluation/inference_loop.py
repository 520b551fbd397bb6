"""Runs the network over images in threads: while one is in it, others are read and resized.

The unit of work is a batch of images that go through the network together. Which images make a
batch depends on the dataset alone, not on threads or processes, so that every number is the same
whichever process computes it.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from picodet.data.coco import ImageInfo
from picodet.data.preprocess import read_image, scale_factor
from picodet.errors import PicoDetError
from picodet.evaluation.settings import EvalSettings, InputSettings
from picodet.inference.backend import Backend, ModelInputs
from picodet.ops.postprocess import Candidates, Detections, apply_layout, postprocess

PREFETCH = 2  # batches per thread that are queued
ROW_LENGTH = 7  # numbers of a row: image id, category id, score, and the box as x, y, width, height


@dataclass(frozen=True)
class BatchDetector:
    """Detects the objects in a batch of images under each setting."""

    network: Backend
    folder: Path  # of the images
    settings: tuple[EvalSettings, ...]
    category_ids: tuple[int | None, ...]  # of the network's classes; None: they do not count

    def __call__(self, batch: Sequence[ImageInfo]) -> list[np.ndarray]:
        """Rows [N, 7] float64 of a batch of images, one array for each setting."""
        images = [read_image(self.folder / image.file) for image in batch]
        spec = self.network.spec
        factors = np.stack(
            [scale_factor(image, spec.input_size, spec.preprocessing) for image in images]
        )
        arrays_of: dict[InputSettings, list[np.ndarray]] = {}
        outputs_of: dict[InputSettings, list[Candidates | Detections]] = {}
        rows = []
        for setting in self.settings:
            key = setting.input_settings
            if key not in outputs_of:
                arrays = [key(image, spec.input_size, spec.preprocessing) for image in images]
                arrays_of[key], outputs_of[key] = arrays, self._run(arrays, factors)
            detections = [
                self._post_process(output, image, factor, array.shape[1:], setting)
                for output, image, factor, array in zip(
                    outputs_of[key], images, factors, arrays_of[key], strict=True
                )
            ]
            parts = zip(batch, detections, strict=True)
            rows.append(np.concatenate([self._rows(image, each) for image, each in parts]))
        return rows

    def _run(
        self, arrays: Sequence[np.ndarray], factors: np.ndarray
    ) -> list[Candidates | Detections]:
        """Outputs of preprocessed images: in one batch, unless their sizes differ."""
        if len({array.shape for array in arrays}) == 1:
            return [*self.network(ModelInputs(np.stack(arrays), factors))]
        outputs: list[Candidates | Detections] = []
        for array, factor in zip(arrays, factors, strict=True):
            outputs += self.network(ModelInputs(array[None], factor[None]))
        return outputs

    def _post_process(
        self,
        output: Candidates | Detections,
        image: np.ndarray,
        factor: np.ndarray,
        size: tuple[int, ...],
        setting: EvalSettings,
    ) -> Detections:
        """size: of the preprocessed image, (height, width)."""
        settings = setting.postprocessing
        if isinstance(output, Detections):
            detections = output.above(settings.score_threshold)
        else:
            height, width = size
            detections = postprocess(output, factor, (height, width), settings)
        if settings.layout is None:
            return detections
        return apply_layout(detections, (image.shape[0], image.shape[1]), settings.layout)

    def _rows(self, image: ImageInfo, detections: Detections) -> np.ndarray:
        if len(detections) and detections.classes.max() >= len(self.category_ids):
            raise PicoDetError(
                f"{image.file}: the network found class {detections.classes.max()}, counted "
                f"from 0; the annotations have {len(self.category_ids)} categories"
            )
        counts = np.array([category is not None for category in self.category_ids], bool)
        detections = detections.select(counts[detections.classes])
        rows = np.empty((len(detections), ROW_LENGTH))
        rows[:, 0] = image.id
        rows[:, 1] = np.array([each or 0 for each in self.category_ids])[detections.classes]
        rows[:, 2] = detections.scores
        rows[:, 3:5] = detections.boxes[:, :2]
        rows[:, 5:] = detections.boxes[:, 2:].astype(np.float64) - detections.boxes[:, :2]
        return rows


def make_batches(images: Sequence[ImageInfo], size: int) -> list[Sequence[ImageInfo]]:
    """Split the images, in their order, into batches of `size`; the last may be smaller."""
    return [images[start : start + size] for start in range(0, len(images), size)]


def detect_batches(
    detect: BatchDetector, batches: Sequence[Sequence[ImageInfo]], threads: int
) -> Iterator[tuple[Sequence[ImageInfo], list[np.ndarray]]]:
    """Yield each batch of images with its rows, in the order of the batches.

    Starts threads, which end with the iteration; an error is raised at its batch.
    """
    remaining = iter(batches)
    pending: deque[tuple[Sequence[ImageInfo], Future[list[np.ndarray]]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for batch in islice(remaining, PREFETCH * threads):
            pending.append((batch, pool.submit(detect, batch)))
        while pending:
            batch, future = pending.popleft()
            rows = future.result()
            for next_batch in islice(remaining, 1):
                pending.append((next_batch, pool.submit(detect, next_batch)))
            yield batch, rows
    finally:  # if closed early: running batches are finished, queued ones are not
        pool.shutdown(cancel_futures=True)
