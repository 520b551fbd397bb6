"""Where the labels of boxes stand, so that none covers another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from picodet.evaluation.schema import Shown

HEIGHT = 1 / 25  # of a letter: of the picture's height,
FLAT = 1 / 50  # or of its width, where that is more
WIDTH = 0.65  # of a letter, of its height


@dataclass(frozen=True)
class Label:
    """One line of text; its baseline begins at x, y, in pixels of the picture."""

    text: str
    x: float
    y: float
    letter: float  # height, the same for all labels of a picture
    free: bool = (
        True  # it covers no other; what is not free shows only when the pointer is on its box
    )

    @property
    def width(self) -> float:
        """Estimated; fonts differ."""
        return WIDTH * self.letter * len(self.text)

    def covers(self, other: "Label") -> bool:
        """Hidden ones cover nothing."""
        beside = self.x + self.width < other.x or other.x + other.width < self.x
        return self.free and not beside and abs(self.y - other.y) < 1.1 * self.letter


def labels(boxes: Sequence[Shown], size: tuple[int, int]) -> list[Label]:
    """One for each box, first come, first served; `size` is height and width of the picture."""
    placed: list[Label] = []
    for box in boxes:
        places = _places(box, size)
        free = (place for place in places if not any(label.covers(place) for label in placed))
        placed.append(next(free, replace(places[0], free=False)))
    return placed


def _places(shown: Shown, size: tuple[int, int]) -> list[Label]:
    """Above the box, inside on top, inside at the bottom, below; those that are in the picture."""
    height, width = size
    letter = max(height * HEIGHT, width * FLAT)
    score = "" if shown.score is None else f" {shown.score:.2f}"
    first = Label(f"{shown.label}{score}", shown.box[0] + 0.2 * letter, 0.0, letter)
    x = max(0.2 * letter, min(first.x, width - first.width))
    top, bottom = max(0.0, shown.box[1]), min(float(height), shown.box[3])
    ys = (top - 0.3 * letter, top + letter, bottom - 0.3 * letter, bottom + letter)
    inside = [y for y in ys if letter <= y <= height]
    return [replace(first, x=x, y=y) for y in inside or (float(height),)]
