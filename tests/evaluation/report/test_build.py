from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_coco import annotation_file, write_dataset

from picodet.data.coco import read_annotations
from picodet.evaluation.detections import Results
from picodet.evaluation.metrics import evaluate
from picodet.evaluation.report.build import WIDEST, Context, Evaluated, report, what_if, worst

NOTES = ("a note",)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drawn"), 8)


@pytest.fixture(scope="module")
def truths(dataset):
    return read_annotations(annotation_file(dataset))


@pytest.fixture(scope="module")
def found(truths):
    """Every second box, and one that is wrong."""
    kept, wrong = np.arange(0, len(truths.truths), 2), 1
    order = [*kept, wrong]
    boxes = truths.truths.boxes[order].copy()
    boxes[-1] = [1, 2, 20, 30]
    scores = np.linspace(0.9, 0.5, len(order))
    picture_ids = truths.truths.picture_ids[order]
    return Results(picture_ids, truths.truths.category_ids[order], boxes, scores)


def context(truths):
    return Context("x.onnx", truths, 1.5, NOTES, {"numpy": "2"}, ("picodet-eval x",))


def test_a_report_holds_all_that_was_asked_and_found(truths, found):
    run = Evaluated("as asked", found, 1, {"resize": "interp 1"})
    made = report(run, context(truths), "hotcoco")
    metrics = evaluate(truths, found)
    assert made.stats == metrics.stats
    assert (made.model, made.annotations) == ("x.onnx", str(truths.path))
    assert made.interp == 1
    assert made.settings == {"resize": "interp 1", "evaluator": "hotcoco"}
    assert [each.name for each in made.classes] == ["blue", "red", "green"]
    assert (made.pictures, made.detections, made.seconds) == (8, len(found), 1.5)
    assert (made.notes, made.versions, made.commands) == (
        NOTES,
        {"numpy": "2"},
        ("picodet-eval x",),
    )
    assert (made.worst, made.what_if) == ((), ())


def test_notes_of_the_evaluator_are_passed_on(truths, found):
    zero = replace(truths, truths=replace(truths.truths, ids=truths.truths.ids - 1))
    made = report(Evaluated("as asked", found, 1, {}), context(zero), "hotcoco")
    assert made.notes[0] == NOTES[0]
    assert "id 0" in made.notes[1]
    assert made.settings == {"evaluator": "pycocotools"}


def test_what_if_holds_each_run_against_the_first(truths, found):
    worse = replace(found, boxes=found.boxes + np.array([20, 0, 0, 0]))
    first, other, same = what_if(
        [Evaluated(name, r, 2, {}) for name, r in (("a", found), ("b", worse), ("c", found))],
        truths,
        "hotcoco",
    )
    assert [row.name for row in (first, other, same)] == ["a", "b", "c"]
    assert first.against_first is None
    assert vars(same.against_first) == {"difference": 0, "low": 0, "high": 0}
    difference = other.stats[0] - first.stats[0]
    assert difference < -0.1
    assert other.against_first.difference == pytest.approx(difference, abs=1e-12)
    assert other.against_first.low <= difference <= other.against_first.high < 0


def test_the_worst_pictures_show_what_was_found_and_missed(truths, found, dataset):
    shown = worst(truths, found, dataset / "val2017")
    assert shown
    for picture in shown:
        (annotated,) = [each for each in truths.pictures if each.file == picture.file]
        assert picture.size == annotated.size
        small = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert small.shape[:2] == picture.size  # 400 pixels at most: as it is
    labels = {box.label for picture in shown for box in picture.missed}
    assert labels <= {"red", "green", "blue"}
    wrong = [box for picture in shown for box in picture.wrong]
    assert (1.0, 2.0, 21.0, 32.0) in [box.box for box in wrong]
    assert all(box.score is None for picture in shown for box in picture.missed)


def test_wide_pictures_are_made_small(truths, found, dataset, tmp_path):
    for picture in truths.pictures:
        cv2.imwrite(str(tmp_path / picture.file), np.zeros((600, 1200, 3), np.uint8))
    for picture in worst(truths, found, tmp_path):
        small = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert small.shape[:2] == (WIDEST // 2, WIDEST)
        assert picture.size == (600, 1200)


def test_pictures_that_are_not_there_are_left_out(truths, found, tmp_path):
    assert worst(truths, found, tmp_path) == ()
