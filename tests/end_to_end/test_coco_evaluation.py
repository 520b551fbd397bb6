"""400 images of val2017 with official weights, compared with ppdet's tools/eval.py.

Needs ../shared, from which nothing may be committed. One run for each file, with both interps.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from recorder import bounds, resizes_alike

from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_file
from picodet.data.coco import read_annotations
from picodet.evaluation.compare import compare_predictions
from picodet.evaluation.detections import read_predictions

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PPDET = {  # interp: the twelve numbers in COCO's order, and how many detections
    1: (
        (
            *(0.32225, 0.47090, 0.34296, 0.12448, 0.34621, 0.50815),
            *(0.28539, 0.45491, 0.47747, 0.18722, 0.51276, 0.72626),
        ),
        39_903,
    ),
    2: (
        (
            *(0.32225, 0.47022, 0.34106, 0.12124, 0.34698, 0.51306),
            *(0.28725, 0.45284, 0.47496, 0.18421, 0.50842, 0.72247),
        ),
        39_888,
    ),
}
# In these images two candidates are so close, in score or in the IoU of NMS, that rounding decides,
# and other runtimes round differently from Paddle: a few boxes differ or change places. In all
# other images each detection has to equal ppdet's.
NEAR_TIES = {1: set(), 2: {234607, 301061, 497867, 531707}}


def is_comparable(interp: int) -> bool:
    return interp != 2 or resizes_alike()


@pytest.fixture(scope="module", params=["onnx", "pth"])
def outcome(request, shared, tmp_path_factory):
    """Folder with the numbers and the detections of one file."""
    folder = tmp_path_factory.mktemp(request.param)
    model = shared / "weights" / "picodet_s_416_coco.onnx"
    if request.param == "pth":
        model = folder / "picodet_s_416_coco.pth"
        convert_file(shared / "weights" / "picodet_s_416_coco.pdparams", model, ConvertOptions())
    outputs = ["--out", folder / "out.json", "--json", folder / "numbers.json"]
    options = ["--coco", shared / "coco", "--interp", "1", "--interp", "2"]
    command = [sys.executable, "-m", "picodet", "eval", model, *options, *outputs]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)
    return folder


def test_the_twelve_numbers_are_ppdets(outcome):
    runs = json.loads((outcome / "numbers.json").read_text())["runs"]
    assert [run["interp"] for run in runs] == [1, 2]
    for run in runs:
        stats, detections = PPDET[run["interp"]]
        assert run["images"] == 400
        distance = np.abs(np.subtract(run["stats"], stats)).max()
        if is_comparable(run["interp"]):
            assert run["detections"] == detections
            assert distance < 1e-5
        else:
            assert distance < bounds().numbers


def by_image(rows):
    found = {}
    for row in rows:
        numbers = [row["category_id"], row["score"], *row["bbox"]]
        found.setdefault(row["image_id"], []).append(numbers)
    return {image: np.array(numbers) for image, numbers in found.items()}


@pytest.mark.parametrize("interp", [1, 2])
def test_every_detection_is_ppdets(shared, outcome, interp):
    """One to one, in the same order: class, score within 1e-5, box within 0.02 pixels."""
    name = f"ppdet_detections_interp{interp}.json.gz"
    if not is_comparable(interp):
        found = compare_predictions(
            read_annotations(shared / "coco" / "instances_val400.json"),
            read_predictions(outcome / f"out_interp{interp}.json"),
            read_predictions(shared / "coco" / name),
        )
        assert found.matched > bounds().matched * found.detections_b
        assert found.same >= bounds().same * found.detections_b
        return
    theirs = by_image(json.loads(gzip.decompress((shared / "coco" / name).read_bytes())))
    ours = by_image(json.loads((outcome / f"out_interp{interp}.json").read_text()))
    assert ours.keys() == theirs.keys()
    other = set()
    for image, expected in theirs.items():
        found = ours[image]
        same = (
            found.shape == expected.shape
            and np.array_equal(found[:, 0], expected[:, 0])
            and np.abs(found[:, 1] - expected[:, 1]).max() < 1e-5
            and np.abs(found[:, 2:] - expected[:, 2:]).max() < 0.02
        )
        other |= set() if same else {image}
    assert other <= NEAR_TIES[interp]
