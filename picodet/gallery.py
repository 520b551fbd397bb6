"""Many pictures: find them, detect, draw. One that cannot be used does not stop the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picodet.data.pictures import find_pictures, free_name, write_picture
from picodet.data.preprocess import read_image
from picodet.detection import detect
from picodet.drawing import draw
from picodet.errors import ImageError, OutputError, PicoDetError
from picodet.models.picodet import PicoDet
from picodet.postprocess import Detections


@dataclass(frozen=True)
class Outcome:
    """What became of one picture: found and drawn, or an error."""

    picture: Path
    found: Detections | None = None
    drawn: Path | None = None
    error: str | None = None

    def as_json(self, classes: Sequence[str]) -> dict[str, Any]:
        if self.found is None:
            return {"file": str(self.picture), "error": self.error}
        return {
            "file": str(self.picture),
            "boxes": self.found.boxes.tolist(),
            "scores": self.found.scores.tolist(),
            "classes": self.found.classes.tolist(),
            "names": [classes[label] for label in self.found.classes],
            "drawn": str(self.drawn),
        }


def find(arguments: Sequence[str]) -> list[Outcome]:
    """The pictures that the arguments name, each once, in their order; or why there are none."""
    outcomes: dict[Path, Outcome] = {}
    for argument in arguments:
        try:
            found = [Outcome(picture) for picture in find_pictures(argument)]
        except ImageError as error:
            found = [Outcome(Path(argument), error=str(error))]
        outcomes |= {outcome.picture: outcome for outcome in found}
    return list(outcomes.values())


def detect_all(
    model: PicoDet, pictures: Sequence[Outcome], folder: Path, score: float, interp: int
) -> Iterator[Outcome]:
    """Detect in each picture and draw it into `folder`; a failure is an outcome too."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror}") from error
    taken: set[Path] = set()
    for outcome in pictures:
        if outcome.error:
            yield outcome
            continue
        picture = outcome.picture
        try:
            image = read_image(picture)
            found = detect(model, image, interp, score)
            drawn = free_name(picture, folder, taken)
            write_picture(draw(image, found, model.config.classes), drawn)
        except PicoDetError as error:
            yield Outcome(picture, error=str(error))
        else:
            taken.add(drawn)
            yield Outcome(picture, found, drawn)
