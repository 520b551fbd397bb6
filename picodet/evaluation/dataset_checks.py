"""Whether all pictures of a dataset can be used: asked before the long work starts."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from picodet.data.coco import Annotations, Picture
from picodet.data.image_checksums import ImageSum, image_sum
from picodet.data.preprocess import read_image
from picodet.distributed import ProcessGroup, shard
from picodet.errors import ImageError


@dataclass(frozen=True)
class Trouble:
    """A picture that cannot be used, or that is not what the annotations say."""

    picture_id: int
    error: str | None  # None: it can be used, and has another size than annotated


class Checked(NamedTuple):
    """What was found out about pictures."""

    troubles: list[Trouble]
    sums: list[ImageSum]  # of each picture


def check_pictures(
    folder: Path, pictures: Sequence[Picture], threads: int, done: Callable[[], None]
) -> Checked:
    """Read each of them: a tenth of the time that the evaluation will take."""

    def check(picture: Picture) -> tuple[Trouble | None, ImageSum]:
        path = folder / picture.file
        try:
            found = read_image(path).shape[:2]
        except ImageError as error:
            return Trouble(picture.id, str(error)), image_sum(path)
        return None if found == picture.size else Trouble(picture.id, None), image_sum(path)

    checked = Checked([], [])
    pool = ThreadPoolExecutor(threads)
    try:
        for trouble, seen in pool.map(check, pictures):
            done()
            checked.sums.append(seen)
            if trouble:
                checked.troubles.append(trouble)
    finally:
        pool.shutdown(cancel_futures=True)
    return checked


NAMED = 10  # pictures that are left out
RIGHT, RESIZED, UNUSABLE = range(3)


@dataclass(frozen=True)
class Usable:
    """What is left when bad pictures are left out."""

    annotations: Annotations
    sums: dict[int, ImageSum]  # of each picture of the dataset, by its id
    notes: tuple[str, ...]  # what a reader of the numbers has to know of the pictures
    caveat: str  # what the AP is not to be told without; "" for nothing


def usable(
    annotations: Annotations,
    folder: Path,
    skip_bad: bool,
    threads: int,
    ranks: ProcessGroup,
    progress: Callable[[int, int], None],
) -> Usable:
    """Raises ImageError for pictures that cannot be used, and are not to be skipped."""
    pictures = annotations.pictures
    mine, count = shard(ranks, pictures), 0

    def done() -> None:
        nonlocal count
        count += 1
        progress(min(count * ranks.size, len(pictures)), len(pictures))
        ranks.check()

    troubles, sums = check_pictures(folder, mine, threads, done)
    errors = [trouble.error for trouble in troubles if trouble.error]
    if errors and not skip_bad:
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise ImageError(
            f"{errors[0]}{more}; --skip-bad leaves such pictures out of the evaluation"
        )
    states = {trouble.picture_id: UNUSABLE if trouble.error else RESIZED for trouble in troubles}
    seen = [(p.id, states.get(p.id, RIGHT), *each) for p, each in zip(mine, sums, strict=True)]
    everybodys = np.concatenate(ranks.gather(np.array(seen, np.float64).reshape(-1, 4)))
    ids = everybodys[:, 0].astype(int)
    unusable, resized = (set(ids[everybodys[:, 1] == s].tolist()) for s in (UNUSABLE, RESIZED))
    if len(unusable) == len(pictures):
        raise ImageError(f"{folder}: none of the {len(unusable)} pictures can be used")
    left_out, others = (
        [picture.file for picture in pictures if picture.id in some] for some in (unusable, resized)
    )
    if unusable:
        annotations = annotations.of_pictures([p.id for p in pictures if p.id not in unusable])
    return Usable(
        annotations=annotations,
        sums={int(i): ImageSum(int(size), int(crc)) for i, _, size, crc in everybodys.tolist()},
        notes=_notes(left_out, others),
        caveat=f"not COCO's: {_counted(left_out)} left out" if left_out else "",
    )


def _notes(left_out: Sequence[str], resized: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if left_out:
        more = f" and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
        notes.append(
            f"{_counted(left_out)} left out as unusable, so that this AP is not COCO's: "
            f"{', '.join(left_out[:NAMED])}{more}"
        )
    if resized:
        notes.append(
            f"{len(resized)} of the pictures have another size than annotated, {resized[0]} first"
        )
    return tuple(notes)


def _counted(files: Sequence[str]) -> str:
    return f"{len(files):,} picture{'s' * (len(files) > 1)}"
