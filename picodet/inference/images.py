"""Many pictures: find them, detect, draw. One that cannot be used does not stop the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picodet.config import Kernels
from picodet.data.image_files import copy_names, find_pictures, write_picture
from picodet.data.preprocess import read_image
from picodet.errors import ImageError, OutputError
from picodet.files import check_folder
from picodet.inference.backend import Network
from picodet.inference.predict import detect_with
from picodet.inference.visualize import draw
from picodet.ops.postprocess import Detections


@dataclass(frozen=True)
class Failed:
    """A picture that could not be used, or an argument that named none."""

    picture: Path
    error: str

    def as_json(self) -> dict[str, Any]:
        return {"file": str(self.picture), "error": self.error}


@dataclass(frozen=True)
class Drawn:
    """What was found in a picture, and the copy that shows it."""

    picture: Path
    found: Detections
    names: tuple[str, ...]  # of the classes found
    copy: Path

    def as_json(self) -> dict[str, Any]:
        return {
            "file": str(self.picture),
            "boxes": self.found.boxes.tolist(),
            "scores": self.found.scores.tolist(),
            "classes": self.found.classes.tolist(),
            "names": list(self.names),
            "drawn": str(self.copy),
        }


def find(arguments: Sequence[str]) -> tuple[list[Path], list[Failed]]:
    """The pictures that the arguments name, each once, in their order; and what names none."""
    pictures: list[Path] = []
    failed: list[Failed] = []
    for argument in arguments:
        try:
            pictures += find_pictures(argument)
        except ImageError as error:
            failed.append(Failed(Path(argument), str(error)))
    return list(dict.fromkeys(pictures)), failed


def detect_all(
    network: Network,
    pictures: Sequence[Path],
    folder: Path,
    score: float,
    interp: int | None = None,
    resize: Kernels | None = None,
) -> Iterator[Drawn | Failed]:
    """Detect in each picture and draw a copy into `folder`.

    What is wrong with the model or the folder and not with a picture is raised.
    """
    try:
        check_folder(folder)
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror}") from error
    for picture, copy in zip(pictures, copy_names(pictures, folder), strict=True):
        try:
            image = read_image(picture)
            found = detect_with(network, image, interp, score, resize)
            names = tuple(map(network.spec.class_name, found.classes.tolist()))
            write_picture(draw(image, found, names), copy)
        except (ImageError, OutputError) as error:
            yield Failed(picture, str(error))
        else:
            yield Drawn(picture, found, names, copy)
