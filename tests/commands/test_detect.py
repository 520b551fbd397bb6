"""`picodet-detect --postprocess paddlex-layout`; the other options are in test_common."""

import json

import pytest
from click.testing import CliRunner
from color_network import CLASSES
from eval_runs import prepare

from picodet.cli import main
from picodet.data.preprocess import read_image
from picodet.inference.open_backend import RuntimeOptions, open_backend
from picodet.inference.predict import detect_image
from picodet.ops.layout import LayoutSettings, layout_regions

LAYOUT = ("--postprocess", "paddlex-layout")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("detect"))


@pytest.fixture
def run(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = sorted((files / "coco/val2017").iterdir())[0]
    words = ["detect", files / "x.onnx", image, "--json", "found.json"]

    def run(*options):
        done = CliRunner().invoke(main, [str(word) for word in (*words, *options)])
        found = json.loads((tmp_path / "found.json").read_text()) if done.exit_code == 0 else None
        return done, found and found[0]

    run.image, run.network = image, open_backend(files / "x.onnx", RuntimeOptions())
    return run


def test_regions_are_those_of_the_detections_above_ppdets_threshold(run):
    options = ("--layout-threshold", "0.2", "--layout-threshold", "red=0.3", "--layout-nms")
    more = ("--layout-unclip", "1.2x1.1", "--layout-merge", "large")
    done, found = run(*LAYOUT, *options, *more)
    assert done.exit_code == 0, done.output
    image = read_image(run.image)
    every = detect_image(run.network, image)
    settings = LayoutSettings(CLASSES, (0.3, 0.2, 0.2), True, ((1.2, 1.1),) * 3, "large")
    boxes, scores, classes = layout_regions(
        every.boxes, every.scores, every.classes, image.shape[:2], settings
    )
    assert 0 < len(boxes) < len(every)
    assert found["boxes"] == boxes.tolist()
    assert (found["scores"], found["classes"]) == (scores.tolist(), classes.tolist())


def test_the_threshold_of_the_nms_can_be_raised(run):
    _, found = run(*LAYOUT, "--layout-threshold", 0, "--score-thr", 0.5)
    _, usual = run(*LAYOUT, "--layout-threshold", 0.5)
    assert found["scores"]
    assert found == usual


def test_settings_from_a_file(run, tmp_path):
    (tmp_path / "layout.yaml").write_text("threshold: 0.3\nlayout_merge_bboxes_mode: small\n")
    _, by_file = run(*LAYOUT, "--layout-settings", "layout.yaml")
    _, by_options = run(*LAYOUT, "--layout-threshold", 0.3, "--layout-merge", "small")
    assert by_file == by_options


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--layout-nms",), 2, "--layout-.. options are of --postprocess paddlex-layout"),
        (("--no-layout-nms",), 2, "found ppdet-2.4"),
        (
            (*LAYOUT, "--layout-threshold", "rot=0.5"),
            1,
            "has no class 'rot'; expected one of red, ",
        ),
        ((*LAYOUT, "--layout-threshold", "nan"), 1, "found nan; expected a number from 0 to 1"),
        ((*LAYOUT, "--layout-threshold", "red=x"), 1, "found 'x'; expected a number"),
        ((*LAYOUT, "--layout-unclip", "1x2x3"), 1, "layout unclip: found (1.0, 2.0, 3.0)"),
        ((*LAYOUT, "--layout-merge", "big"), 1, "layout merge: found 'big'"),
        ((*LAYOUT, "--layout-settings", "none.yaml"), 1, "none.yaml"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(run, tmp_path, options, code, message):
    done, _ = run(*options)
    assert done.exit_code == code
    assert message in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert not (tmp_path / "detections").exists()
