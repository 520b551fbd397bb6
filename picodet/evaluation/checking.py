"""Whether all pictures of a dataset can be used: asked before the long work starts."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from picodet.data.preprocess import read_image
from picodet.errors import ImageError
from picodet.evaluation.annotations import Picture


@dataclass(frozen=True)
class Trouble:
    """A picture that cannot be used, or that is not what the annotations say."""

    picture_id: int
    error: str | None  # None: it can be used, and has another size than annotated


def check_pictures(
    folder: Path, pictures: Sequence[Picture], threads: int, done: Callable[[], None]
) -> list[Trouble]:
    """Read each of them: a tenth of the time that the evaluation will take."""

    def check(picture: Picture) -> Trouble | None:
        try:
            found = read_image(folder / picture.file).shape[:2]
        except ImageError as error:
            return Trouble(picture.id, str(error))
        return None if found == picture.size else Trouble(picture.id, None)

    troubles = []
    pool = ThreadPoolExecutor(threads)
    try:
        for trouble in pool.map(check, pictures):
            done()
            if trouble:
                troubles.append(trouble)
    finally:
        pool.shutdown(cancel_futures=True)
    return troubles
