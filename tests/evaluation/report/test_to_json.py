import json
from dataclasses import replace

import numpy as np
import pytest
from evaluation_reports import COMPARISON, CUBIC, NOTHING_FOUND, NOTHING_TO_FIND, REPORT

from picodet.evaluation.report.to_json import comparison_to_json, report_to_json
from picodet.evaluation.schema import STATS


def test_the_twelve_in_order_and_by_name():
    value = report_to_json(REPORT)
    assert value["stats"] == list(CUBIC)
    assert [value[name] for name in STATS] == list(CUBIC)
    counted = {"images": 400, "detections": 39888, "interp": 2, "seconds": 12.5}
    assert value | counted == value


@pytest.mark.parametrize("report", [REPORT, NOTHING_TO_FIND, NOTHING_FOUND])
def test_it_is_strictly_json_and_reads_back_the_same(report):
    value = report_to_json(report)
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_nothing_to_average_is_null_but_in_stats():
    value = report_to_json(NOTHING_TO_FIND)
    assert value["stats"] == [-1.0] * 12
    assert [value[name] for name in STATS] == [None] * 12
    assert value["classes"][0] == {
        **{"name": "toaster", "ap": None, "ap50": None, "ap75": None, "ar": None},
        **{"num_gt": 0, "detections": 3},
    }
    assert value["curves"] == {"ious": [0.5], "precision": [[None] * 101]}


def test_a_difference_may_be_negative():
    rows = report_to_json(REPORT)["what_if"]
    assert rows[0]["against_first"] is None
    assert rows[2]["against_first"] == {"difference": -0.04225, "low": -0.051, "high": -0.0333}
    assert rows[1]["detections"] == 39903


def test_numbers_of_numpy_become_numbers():
    stats = tuple(np.float64(CUBIC))
    counts = replace(REPORT, stats=stats, num_images=np.int64(7), interp=np.int64(1))
    value = json.loads(json.dumps(report_to_json(counts)))
    assert (value["images"], value["interp"], value["AP"]) == (7, 1, 0.32225)


def test_images_are_named_and_not_shown():
    value = report_to_json(REPORT)
    assert value["worst"] == [
        {
            "file": "000000000139.jpg",
            "true_positives": 1,
            "false_positives": 1,
            "false_negatives": 2,
        }
    ]
    assert len(json.dumps(value)) < 10_000


def test_a_predictions_file_does_not_state_its_interp():
    assert report_to_json(replace(REPORT, interp=None))["interp"] is None


def test_a_comparison_is_strictly_json():
    value = comparison_to_json(COMPARISON)
    assert json.loads(json.dumps(value, allow_nan=False))["worst"][0]["file"] == "a.jpg"
    assert (value["same"], value["matched"], value["matched_same"]) == (False, 7, 4)
    assert (value["missing"], value["extra"]) == ([3, 1], [5])
    assert value["score"] == {"mean": 0.01, "p99": 0.05, "max": 0.1}
    assert value["ap_difference"]["low"] == -0.004


def test_whose_time_it_is_and_the_caveat_beside_the_number():
    value = report_to_json(replace(REPORT, caveat="which covers 2 of 3 images", runs=2))
    assert (value["seconds"], value["seconds_of_runs"]) == (12.5, 2)
    assert value["caveat"] == "which covers 2 of 3 images"
    assert report_to_json(REPORT)["caveat"] is None
