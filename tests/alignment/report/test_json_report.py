import json
from dataclasses import replace

import numpy as np
from comparisons import ALIGNED, DIFFERENT, FINE, layer

from picodet.alignment.report.json_report import to_json


def written(comparison):
    return json.loads(json.dumps(to_json(comparison), allow_nan=False))


def test_guilty_layers_come_worst_first_with_all_fields():
    worst, second = written(DIFFERENT)["guilty"]
    assert (worst["path"], second["path"]) == (
        "head.predictors.1",
        "backbone.stage2.block1.conv_pw",
    )
    assert second["where"] == "output"
    assert second["floor"] == 1e-7
    assert second["diagnosis"] == "vanishes with <another> slope"
    assert second["local"] == {
        **{"error": 0.5, "index": [0, 3, 2, 1], "model": 1.5, "reference": 1.0, "scale": 2.0},
        **{"floor": 1e-7, "allowed": 8e-7, "error_over_noise": 0.5 / 1e-7, "problem": ""},
    }


def test_nan_and_infinity_are_strings():
    difference = written(DIFFERENT)["guilty"][0]["local"]
    assert (difference["error"], difference["error_over_noise"], difference["model"]) == (
        "inf",
        "inf",
        "nan",
    )
    assert difference["problem"] == "NaN in the model"


def test_all_other_fields():
    content = written(DIFFERENT)
    assert content["aligned"] is False
    assert [stage["verdict"] for stage in content["stages"]] == [
        "aligned",
        "differs",
        "not compared",
    ]
    assert content["stages"][1]["findings"][0]["expected"] == "a number"
    assert content["unpaired"][0]["side"] == "reference"
    assert [row["path"] for row in content["layers"]] == [one.path for one in DIFFERENT.layers]
    assert content["layers"][6]["accumulated"] is None
    assert content["environment"] == ALIGNED.environment
    assert content["tolerance"] == ALIGNED.tolerance
    assert written(ALIGNED)["aligned"] is True


def test_numpy_numbers_are_numbers():
    difference = replace(FINE, error=np.float32(0.5), index=(np.int64(3),))
    (row,) = written(replace(ALIGNED, layers=(layer("a", local=difference),)))["layers"]
    assert (row["local"]["error"], row["local"]["index"]) == (0.5, [3])
