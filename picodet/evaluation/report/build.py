"""Detections of a dataset -> reports: the numbers, the worst pictures, what mistakes cost."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from picodet.data.coco import Annotations
from picodet.data.preprocess import read_image
from picodet.errors import ImageError
from picodet.evaluation import metrics
from picodet.evaluation.bootstrap import paired_intervals
from picodet.evaluation.detections import Results
from picodet.evaluation.matching import match
from picodet.evaluation.schema import Report, Shown, WhatIf, WorstPicture
from picodet.evaluation.worst_images import PictureCost, worst_pictures

SHOWN_FROM = 0.3  # score
WIDEST = 560  # pixels, of a picture on the page
QUALITY = 80  # of its JPEG


@dataclass(frozen=True)
class Evaluated:
    """One set of detections and where it comes from."""

    name: str  # of the setting
    results: Results
    interp: int | None
    settings: dict[str, str]


@dataclass(frozen=True)
class Context:
    """What several reports have in common."""

    model: str
    annotations: Annotations
    seconds: float
    notes: tuple[str, ...]
    versions: dict[str, str]
    commands: tuple[str, ...]
    runs: int = 1  # that the seconds are of
    caveat: str = ""


def report(
    run: Evaluated, context: Context, evaluator: str, what_if: tuple[WhatIf, ...] = ()
) -> Report:
    """The numbers of one run; its worst pictures are drawn by `with_worst`."""
    annotations = context.annotations
    found = metrics.evaluate(annotations, run.results, evaluator)
    return Report(
        model=context.model,
        annotations=str(annotations.path),
        interp=run.interp,
        settings=run.settings | {"evaluator": found.evaluator},
        stats=found.stats,
        classes=metrics.class_results(found, annotations, run.results),
        curves=metrics.curves(found),
        pictures=len(annotations.pictures),
        detections=len(run.results),
        seconds=context.seconds,
        shown_from=SHOWN_FROM,
        what_if=what_if,
        notes=(*context.notes, *found.notes),
        versions=context.versions,
        commands=context.commands,
        runs=context.runs,
        caveat=context.caveat,
    )


def what_if(
    runs: list[Evaluated],
    annotations: Annotations,
    evaluator: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[WhatIf, ...]:
    """Each run beside the first, on the same pictures."""
    first, *others = (match(annotations, run.results) for run in runs)
    intervals = (None, *paired_intervals(first, others, progress=progress))
    return tuple(
        WhatIf(
            name=run.name,
            stats=metrics.evaluate(annotations, run.results, evaluator).stats,
            detections=len(run.results),
            against_first=interval,
        )
        for run, interval in zip(runs, intervals, strict=True)
    )


def worst(annotations: Annotations, results: Results, folder: Path) -> tuple[WorstPicture, ...]:
    """The pictures that cost most, with their boxes beside them; unreadable ones are left out."""
    shown = []
    for cost in worst_pictures(match(annotations, results), SHOWN_FROM):
        picture = annotations.pictures[cost.picture]
        try:
            image = read_image(folder / picture.file)
        except ImageError:
            continue  # of a result file, whose pictures nobody needed
        shown.append(_shown(picture.file, image, cost, annotations, results))
    return tuple(shown)


def _shown(
    file: str, image: np.ndarray, cost: PictureCost, annotations: Annotations, results: Results
) -> WorstPicture:
    names = {category.id: category.name for category in annotations.categories}
    truths = annotations.truths

    def detections(rows: np.ndarray) -> tuple[Shown, ...]:
        return tuple(
            Shown(_corners(results.boxes[r]), names[int(results.category_ids[r])], float(s))
            for r, s in zip(rows, results.scores[rows], strict=True)
        )

    missed = tuple(
        Shown(_corners(truths.boxes[r]), names[int(truths.category_ids[r])], None)
        for r in cost.missed
    )
    height, width = image.shape[:2]
    scale = min(1, WIDEST / max(height, width))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return WorstPicture(
        file=file,
        jpeg=jpeg.tobytes(),
        size=(height, width),
        found=detections(cost.found),
        wrong=detections(cost.wrong),
        missed=missed,
    )


def _corners(box: np.ndarray) -> tuple[float, float, float, float]:
    x, y, width, height = box.tolist()
    return x, y, x + width, y + height
