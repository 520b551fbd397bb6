"""Finds image files, detects and draws. An unusable image does not stop the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picodet.config import ResizeKernels
from picodet.data.image_files import copy_paths, find_images, write_image
from picodet.data.preprocess import read_image
from picodet.errors import ImageError, OutputError
from picodet.files import check_folder
from picodet.inference.backend import Backend
from picodet.inference.predict import detect_image
from picodet.inference.visualize import draw
from picodet.ops.layout import LayoutSettings
from picodet.ops.postprocess import Detections


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be used, or an argument that matches no image."""

    path: Path
    error: str

    def as_json(self) -> dict[str, Any]:
        return {"file": str(self.path), "error": self.error}


@dataclass(frozen=True)
class ImageDetections:
    """The detections of an image, and the file of the copy they are drawn on."""

    path: Path
    detections: Detections
    names: tuple[str, ...]  # of the classes found
    output: Path

    def as_json(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "boxes": self.detections.boxes.tolist(),
            "scores": self.detections.scores.tolist(),
            "classes": self.detections.classes.tolist(),
            "names": list(self.names),
            "output": str(self.output),
        }


def collect_images(arguments: Sequence[str]) -> tuple[list[Path], list[FailedImage]]:
    """The images of files, folders and patterns, each once, in order; and arguments without any."""
    paths: list[Path] = []
    failed: list[FailedImage] = []
    for argument in arguments:
        try:
            paths += find_images(argument)
        except ImageError as error:
            failed.append(FailedImage(Path(argument), str(error)))
    return list(dict.fromkeys(paths)), failed


def detect_all(
    network: Backend,
    paths: Sequence[Path],
    folder: Path,
    score_thr: float,
    interp: int | None = None,
    resize: ResizeKernels | None = None,
    layout: LayoutSettings | None = None,
) -> Iterator[ImageDetections | FailedImage]:
    """Detect in each image and write a copy with boxes into `folder`, which is created.

    Raises PicoDetError for the model and OutputError for the folder; an unusable image is a
    FailedImage.
    """
    try:
        check_folder(folder)
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be created: {error.strerror}") from error
    for path, output in zip(paths, copy_paths(paths, folder), strict=True):
        try:
            image = read_image(path)
            detections = detect_image(network, image, interp, score_thr, resize, layout)
            names = tuple(map(network.spec.class_name, detections.classes.tolist()))
            write_image(draw(image, detections, names), output)
        except (ImageError, OutputError) as error:
            yield FailedImage(path, str(error))
        else:
            yield ImageDetections(path, detections, names, output)
