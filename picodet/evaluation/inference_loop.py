"""Pictures -> detections, several at once: while one is in the network others are read and resized.

The unit of work is a group of pictures that go through the network together. Which pictures make a
group depends on the dataset alone, neither on threads nor on processes, so that every number is the
same whoever computes it.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from picodet.data.coco import Picture
from picodet.data.preprocess import read_image, scale_factor
from picodet.errors import PicoDetError
from picodet.evaluation.settings import Feeding, Setting
from picodet.inference.backend import Fed, Network
from picodet.ops.postprocess import Candidates, Detections, postprocess

AHEAD = 2  # groups per thread that are waiting to be worked on
ROW = 7  # numbers of a row: picture id, category id, score, and the box as x, y, width, height


@dataclass(frozen=True)
class Work:
    """What is to be done with each picture."""

    network: Network
    folder: Path  # of the pictures
    settings: tuple[Setting, ...]
    category_ids: tuple[int, ...]  # of the network's classes

    def __call__(self, pictures: Sequence[Picture]) -> list[np.ndarray]:
        """Rows [N, 7] float64 of a group of pictures, one array for each setting."""
        images = [read_image(self.folder / picture.file) for picture in pictures]
        spec = self.network.spec
        factors = np.stack([scale_factor(image, spec.input_size) for image in images])
        said: dict[Feeding, Sequence[Candidates] | Sequence[Detections]] = {}
        rows = []
        for setting in self.settings:
            if setting.feeding not in said:
                fed = [setting.feeding(i, spec.input_size, spec.preprocessing) for i in images]
                said[setting.feeding] = self.network(Fed(np.stack(fed), factors))
            outputs: Sequence[Candidates | Detections] = said[setting.feeding]
            found = [
                self._finish(output, factor, setting)
                for output, factor in zip(outputs, factors, strict=True)
            ]
            parts = zip(pictures, found, strict=True)
            rows.append(np.concatenate([self._rows(picture, each) for picture, each in parts]))
        return rows

    def _finish(
        self, said: Candidates | Detections, factor: np.ndarray, setting: Setting
    ) -> Detections:
        if isinstance(said, Detections):
            return said.above(setting.postprocessing.score_threshold)
        return postprocess(said, factor, self.network.spec.input_size, setting.postprocessing)

    def _rows(self, picture: Picture, found: Detections) -> np.ndarray:
        if len(found) and found.classes.max() >= len(self.category_ids):
            raise PicoDetError(
                f"{picture.file}: the network found a class {found.classes.max()}, counted from 0; "
                f"the annotations have {len(self.category_ids)} categories"
            )
        rows = np.empty((len(found), ROW))
        rows[:, 0] = picture.id
        rows[:, 1] = np.array(self.category_ids)[found.classes]
        rows[:, 2] = found.scores
        rows[:, 3:5] = found.boxes[:, :2]
        rows[:, 5:] = found.boxes[:, 2:].astype(np.float64) - found.boxes[:, :2]
        return rows


def groups(pictures: Sequence[Picture], size: int) -> list[Sequence[Picture]]:
    """The units of work."""
    return [pictures[start : start + size] for start in range(0, len(pictures), size)]


def run(
    work: Work, todo: Sequence[Sequence[Picture]], threads: int
) -> Iterator[tuple[Sequence[Picture], list[np.ndarray]]]:
    """Each group with its rows, in the order of the groups."""
    waiting = iter(todo)
    under_way: deque[tuple[Sequence[Picture], Future[list[np.ndarray]]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for group in islice(waiting, AHEAD * threads):
            under_way.append((group, pool.submit(work, group)))
        while under_way:
            group, future = under_way.popleft()
            rows = future.result()
            for following in islice(waiting, 1):
                under_way.append((following, pool.submit(work, following)))
            yield group, rows
    finally:  # also when nobody wants the rest: what is under way is finished, what waits is not
        pool.shutdown(cancel_futures=True)
