"""Checks that all images of a dataset can be used, before the long work starts."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from picodet.data.coco import Annotations, ImageInfo
from picodet.data.image_checksums import ImageChecksum, image_checksum
from picodet.data.preprocess import read_image
from picodet.distributed import ProcessGroup, shard
from picodet.errors import ImageError


@dataclass(frozen=True)
class ImageProblem:
    """An image that cannot be used, or that does not match the annotations."""

    image_id: int
    error: str | None  # None: usable, but of another size than annotated


class ImageChecks(NamedTuple):
    """The outcome of checking images."""

    problems: list[ImageProblem]
    checksums: list[ImageChecksum]  # of each image


def check_images(
    folder: Path, images: Sequence[ImageInfo], threads: int, done: Callable[[], None]
) -> ImageChecks:
    """Decode the images below the folder in threads; takes about a tenth of the evaluation's time.

    done is called after each image.
    """

    def check(image: ImageInfo) -> tuple[ImageProblem | None, ImageChecksum]:
        path = folder / image.file
        try:
            size = read_image(path).shape[:2]
        except ImageError as error:
            return ImageProblem(image.id, str(error)), image_checksum(path)
        return None if size == image.size else ImageProblem(image.id, None), image_checksum(path)

    checked = ImageChecks([], [])
    pool = ThreadPoolExecutor(threads)
    try:
        for problem, checksum in pool.map(check, images):
            done()
            checked.checksums.append(checksum)
            if problem:
                checked.problems.append(problem)
    finally:
        pool.shutdown(cancel_futures=True)
    return checked


MAX_NAMED = 10  # skipped images in a note
VALID, WRONG_SIZE, UNUSABLE = range(3)


@dataclass(frozen=True)
class UsableDataset:
    """The dataset without corrupt images."""

    annotations: Annotations
    checksums: dict[int, ImageChecksum]  # of each image of the dataset, by its id
    notes: tuple[str, ...]  # for the report
    caveat: str  # shown beside the AP wherever it is shown; "" for none


def check_dataset(
    annotations: Annotations,
    folder: Path,
    skip_corrupt: bool,
    threads: int,
    ranks: ProcessGroup,
    progress: Callable[[int, int], None],
) -> UsableDataset:
    """Check all images, shared among the processes of `ranks`; all get the same result.

    Raises ImageError for unusable images unless skip_corrupt, and if no image is usable.
    """
    images = annotations.images
    mine, count = shard(ranks, images), 0

    def done() -> None:
        nonlocal count
        count += 1
        progress(min(count * ranks.size, len(images)), len(images))
        ranks.check()

    problems, checksums = check_images(folder, mine, threads, done)
    errors = [problem.error for problem in problems if problem.error]
    if errors and not skip_corrupt:
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise ImageError(f"{errors[0]}{more}; --skip-corrupt leaves such images out")
    statuses = {problem.image_id: UNUSABLE if problem.error else WRONG_SIZE for problem in problems}
    rows = [
        (p.id, statuses.get(p.id, VALID), *each) for p, each in zip(mine, checksums, strict=True)
    ]
    gathered = np.concatenate(ranks.gather(np.array(rows, np.float64).reshape(-1, 4)))
    ids = gathered[:, 0].astype(int)
    unusable, wrong_size = (set(ids[gathered[:, 1] == s].tolist()) for s in (UNUSABLE, WRONG_SIZE))
    if len(unusable) == len(images):
        raise ImageError(f"{folder}: none of the {len(unusable)} images can be used")
    skipped, others = (
        [image.file for image in images if image.id in some] for some in (unusable, wrong_size)
    )
    if unusable:
        annotations = annotations.select_images([p.id for p in images if p.id not in unusable])
    return UsableDataset(
        annotations=annotations,
        checksums={
            int(i): ImageChecksum(int(size), int(crc)) for i, _, size, crc in gathered.tolist()
        },
        notes=_notes(skipped, others),
        caveat=f"not COCO's: {_count_images(skipped)} left out" if skipped else "",
    )


def _notes(skipped: Sequence[str], wrong_size: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if skipped:
        more = f" and {len(skipped) - MAX_NAMED} more" if len(skipped) > MAX_NAMED else ""
        notes.append(
            f"{_count_images(skipped)} left out as unusable, so that this AP is not COCO's: "
            f"{', '.join(skipped[:MAX_NAMED])}{more}"
        )
    if wrong_size:
        notes.append(
            f"{len(wrong_size)} of the images have another size than annotated, "
            f"{wrong_size[0]} first"
        )
    return tuple(notes)


def _count_images(files: Sequence[str]) -> str:
    return f"{len(files):,} image{'s' * (len(files) > 1)}"
