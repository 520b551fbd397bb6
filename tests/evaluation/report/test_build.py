from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_coco import annotation_file, write_dataset

from picodet.data.coco import read_annotations
from picodet.evaluation.detections import Predictions
from picodet.evaluation.metrics import evaluate
from picodet.evaluation.report.build import (
    MAX_IMAGE_SIDE,
    EvalRun,
    ReportContext,
    build_report,
    build_what_if,
    build_worst_images,
)

NOTES = ("a note",)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drawn"), 8)


@pytest.fixture(scope="module")
def annotations(dataset):
    return read_annotations(annotation_file(dataset))


@pytest.fixture(scope="module")
def predictions(annotations):
    """Every second box, and one that is wrong."""
    kept, false_positives = np.arange(0, len(annotations.ground_truth), 2), 1
    order = [*kept, false_positives]
    boxes = annotations.ground_truth.boxes[order].copy()
    boxes[-1] = [1, 2, 20, 30]
    scores = np.linspace(0.9, 0.5, len(order))
    image_ids = annotations.ground_truth.image_ids[order]
    return Predictions(image_ids, annotations.ground_truth.category_ids[order], boxes, scores)


def context(annotations):
    return ReportContext("x.onnx", annotations, 1.5, NOTES, {"numpy": "2"}, ("picodet-eval x",))


def test_a_report_holds_settings_and_results(annotations, predictions):
    run = EvalRun("baseline", predictions, 1, {"resize": "interp 1"})
    made = build_report(run, context(annotations), "hotcoco")
    metrics = evaluate(annotations, predictions)
    assert made.stats == metrics.stats
    assert (made.model, made.annotations) == ("x.onnx", str(annotations.path))
    assert made.interp == 1
    assert made.settings == {"resize": "interp 1", "evaluator": "hotcoco"}
    assert [each.name for each in made.classes] == ["blue", "red", "green"]
    assert (made.num_images, made.detections, made.seconds) == (8, len(predictions), 1.5)
    assert (made.notes, made.versions, made.commands) == (
        NOTES,
        {"numpy": "2"},
        ("picodet-eval x",),
    )
    assert (made.worst, made.what_if) == ((), ())


def test_notes_of_the_evaluator_are_passed_on(annotations, predictions):
    zero = replace(
        annotations,
        ground_truth=replace(annotations.ground_truth, ids=annotations.ground_truth.ids - 1),
    )
    made = build_report(EvalRun("baseline", predictions, 1, {}), context(zero), "hotcoco")
    assert made.notes[0] == NOTES[0]
    assert "id 0" in made.notes[1]
    assert made.settings == {"evaluator": "pycocotools"}


def test_what_if_holds_each_run_against_the_first(annotations, predictions):
    worse = replace(predictions, boxes=predictions.boxes + np.array([20, 0, 0, 0]))
    first, other, same = build_what_if(
        [
            EvalRun(name, r, 2, {})
            for name, r in (("a", predictions), ("b", worse), ("c", predictions))
        ],
        annotations,
        "hotcoco",
    )
    assert [row.name for row in (first, other, same)] == ["a", "b", "c"]
    assert first.against_first is None
    assert vars(same.against_first) == {"difference": 0, "low": 0, "high": 0}
    difference = other.stats[0] - first.stats[0]
    assert difference < -0.1
    assert other.against_first.difference == pytest.approx(difference, abs=1e-12)
    assert other.against_first.low <= difference <= other.against_first.high < 0


def test_worst_images_hold_true_positives_and_errors(annotations, predictions, dataset):
    images = build_worst_images(annotations, predictions, dataset / "val2017")
    assert images
    for image in images:
        (annotated,) = [each for each in annotations.images if each.file == image.file]
        assert image.size == annotated.size
        small = cv2.imdecode(np.frombuffer(image.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert small.shape[:2] == image.size  # 400 pixels at most: as it is
    labels = {box.label for image in images for box in image.false_negatives}
    assert labels <= {"red", "green", "blue"}
    false_positives = [box for image in images for box in image.false_positives]
    assert (1.0, 2.0, 21.0, 32.0) in [box.box for box in false_positives]
    assert all(box.score is None for image in images for box in image.false_negatives)


def test_wide_images_are_made_small(annotations, predictions, dataset, tmp_path):
    for image in annotations.images:
        cv2.imwrite(str(tmp_path / image.file), np.zeros((600, 1200, 3), np.uint8))
    for image in build_worst_images(annotations, predictions, tmp_path):
        small = cv2.imdecode(np.frombuffer(image.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert small.shape[:2] == (MAX_IMAGE_SIDE // 2, MAX_IMAGE_SIDE)
        assert image.size == (600, 1200)


def test_images_that_are_not_there_are_left_out(annotations, predictions, tmp_path):
    assert build_worst_images(annotations, predictions, tmp_path) == ()
