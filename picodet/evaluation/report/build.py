"""Builds reports from detections: the numbers, the worst images, the what-if table."""

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
from picodet.evaluation.detections import Predictions
from picodet.evaluation.evaluator import EvalOutput, EvalRequest
from picodet.evaluation.matching import match
from picodet.evaluation.schema import LabeledBox, Report, WhatIf, WorstImage
from picodet.evaluation.worst_images import ImageErrors, rank_worst_images
from picodet.system.versions import cpu, versions

MIN_SHOWN_SCORE = 0.3
MAX_IMAGE_SIDE = 560  # pixels, of an image on the page
JPEG_QUALITY = 80


@dataclass(frozen=True)
class EvalRun:
    """One set of detections and where it comes from."""

    name: str  # of the setting
    predictions: Predictions
    interp: int | None
    settings: dict[str, str]


@dataclass(frozen=True)
class ReportContext:
    """The parts that several reports have in common."""

    model: str
    annotations: Annotations
    seconds: float
    notes: tuple[str, ...]
    versions: dict[str, str]
    commands: tuple[str, ...]
    runs: int = 1  # that `seconds` covers
    caveat: str = ""


def describe_runs(
    request: EvalRequest, output: EvalOutput, commands: tuple[str, ...]
) -> tuple[list[EvalRun], ReportContext]:
    """The runs, one per setting, and the context of reports; commands reproduce the numbers."""
    context = ReportContext(
        model=str(request.model),
        annotations=output.annotations,
        seconds=output.seconds,
        notes=output.notes,
        versions=versions(output.runtime, "hotcoco", "pycocotools"),
        commands=commands,
        runs=len(output.settings),
        caveat=output.caveat,
    )
    runs = [
        EvalRun(
            setting.name,
            predictions,
            setting.input_settings.interp,
            {"computed in": request.runtime_options.precision}
            | setting.describe()
            | {"CPU": cpu()},
        )
        for setting, predictions in zip(output.settings, output.predictions, strict=True)
    ]
    return runs, context


def build_report(
    run: EvalRun, context: ReportContext, evaluator: str, what_if: tuple[WhatIf, ...] = ()
) -> Report:
    """The numbers of one run; `build_worst_images` adds the worst images."""
    annotations = context.annotations
    result = metrics.evaluate(annotations, run.predictions, evaluator)
    return Report(
        model=context.model,
        annotations=str(annotations.path),
        interp=run.interp,
        settings=run.settings | {"evaluator": result.evaluator},
        stats=result.stats,
        classes=metrics.class_results(result, annotations, run.predictions),
        curves=metrics.curves(result),
        num_images=len(annotations.images),
        detections=len(run.predictions),
        seconds=context.seconds,
        min_shown_score=MIN_SHOWN_SCORE,
        what_if=what_if,
        notes=(*context.notes, *result.notes),
        versions=context.versions,
        commands=context.commands,
        runs=context.runs,
        caveat=context.caveat,
    )


def build_what_if(
    runs: list[EvalRun],
    annotations: Annotations,
    evaluator: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[WhatIf, ...]:
    """The what-if table: each run compared with the first, on the same images."""
    first, *others = (match(annotations, run.predictions) for run in runs)
    intervals = (None, *paired_intervals(first, others, progress=progress))
    return tuple(
        WhatIf(
            name=run.name,
            stats=metrics.evaluate(annotations, run.predictions, evaluator).stats,
            detections=len(run.predictions),
            against_first=interval,
        )
        for run, interval in zip(runs, intervals, strict=True)
    )


def build_worst_images(
    annotations: Annotations, predictions: Predictions, folder: Path
) -> tuple[WorstImage, ...]:
    """The images with the most errors, and their boxes; unreadable images are left out."""
    images = []
    for image_errors in rank_worst_images(match(annotations, predictions), MIN_SHOWN_SCORE):
        info = annotations.images[image_errors.image]
        try:
            image = read_image(folder / info.file)
        except ImageError:
            continue  # a predictions file can be evaluated without its images
        images.append(_worst_image(info.file, image, image_errors, annotations, predictions))
    return tuple(images)


def _worst_image(
    file: str,
    image: np.ndarray,
    image_errors: ImageErrors,
    annotations: Annotations,
    predictions: Predictions,
) -> WorstImage:
    names = {category.id: category.name for category in annotations.categories}
    ground_truth = annotations.ground_truth

    def detections(rows: np.ndarray) -> tuple[LabeledBox, ...]:
        return tuple(
            LabeledBox(
                _corners(predictions.boxes[r]), names[int(predictions.category_ids[r])], float(s)
            )
            for r, s in zip(rows, predictions.scores[rows], strict=True)
        )

    false_negatives = tuple(
        LabeledBox(_corners(ground_truth.boxes[r]), names[int(ground_truth.category_ids[r])], None)
        for r in image_errors.false_negatives
    )
    height, width = image.shape[:2]
    scale = min(1, MAX_IMAGE_SIDE / max(height, width))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return WorstImage(
        file=file,
        jpeg=jpeg.tobytes(),
        size=(height, width),
        true_positives=detections(image_errors.true_positives),
        false_positives=detections(image_errors.false_positives),
        false_negatives=false_negatives,
    )


def _corners(box: np.ndarray) -> tuple[float, float, float, float]:
    x, y, width, height = box.tolist()
    return x, y, x + width, y + height
