"""What is wrong in a dataset's files: gathered over all of them, then listed at once."""

from pathlib import Path
from typing import Literal

from picodet.errors import PicoDetError

MAX_LISTED = 10
BadBoxes = Literal["error", "drop"]


class Problems:
    """The problems of one dataset."""

    def __init__(self, dataset: Path, bad_boxes: BadBoxes = "error") -> None:
        """bad_boxes: what becomes of entries with a problem: an error, or left out with a note."""
        self._dataset, self._bad_boxes = dataset, bad_boxes
        self._first: list[str] = []
        self._count = 0

    def add(self, where: str, problem: str) -> None:
        """Add a problem of a file or of a line or object in it; the entry is left out."""
        self._count += 1
        if self._count <= MAX_LISTED:
            self._first.append(f"{where}: {problem}")

    def finish(self) -> tuple[str, ...]:
        """Notes on what was left out. Raises PicoDetError where that is not wanted."""
        count = self._count
        if not count:
            return ()
        listed = "; ".join(f"({i}) {text}" for i, text in enumerate(self._first, 1))
        more = f"; and {count - MAX_LISTED:,} more" if count > MAX_LISTED else ""
        several = "s" * (count > 1)
        if self._bad_boxes == "drop":
            return (f"{self._dataset}: left out for {count:,} problem{several}: {listed}{more}",)
        raise PicoDetError(
            f"{self._dataset}: {count:,} problem{several}: {listed}{more}. Correct them, or write "
            f"the dataset without them: picodet data convert {self._dataset} OUT --bad-boxes drop"
        )
