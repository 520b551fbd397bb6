"""`picodet-eval` as a user runs it, on synthetic images."""

import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
from drawn_coco import annotation_file
from eval_runs import numbers, prepare, run, words
from parsed import ParsedPage
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from picodet.data.resize_kernels import fingerprint, kernels_differ
from picodet.evaluation.provenance import read_settings
from picodet.evaluation.schema import STATS
from picodet.files import sha256
from picodet.system.versions import cpu


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network, a dataset, and what the first finds in the second: numbers.json, out.json .."""
    folder = prepare(tmp_path_factory.mktemp("eval"))
    outputs = ["--out", "out.json", "--html", "page.html", "--json", "numbers.json"]
    done = run(folder, "x.onnx", "--coco", "coco", *outputs, "--per-class")
    assert done.exit_code == 0, done.output
    (folder / "printed.txt").write_text(done.output)
    return folder


def test_the_twelve_numbers_are_those_of_pycocotools_on_what_was_written(files):
    dataset = COCO(str(annotation_file(files / "coco")))
    official = COCOeval(dataset, dataset.loadRes(str(files / "out.json")), "bbox")
    official.evaluate()
    official.accumulate()
    official.summarize()
    found = numbers(files / "numbers.json")
    assert found["stats"] == official.stats.tolist()
    assert found["stats"][0] > 0.05
    assert found["stats"] == [found[name] for name in STATS]


@pytest.mark.parametrize("option", ["--per-class", "--classwise"])
def test_the_table_of_classes_is_pycocotools_class_by_class(files, tmp_path, option):
    done = run(
        files, "--predictions", "out.json", "--coco", "coco", option, "--json", tmp_path / "n"
    )
    assert done.exit_code == 0
    with redirect_stdout(StringIO()):
        dataset = COCO(str(annotation_file(files / "coco")))
        found = dataset.loadRes(str(files / "out.json"))
        official = COCOeval(dataset, found, "bbox")
    classes = numbers(tmp_path / "n")["classes"]
    assert classes == numbers(files / "numbers.json")["classes"]
    lines = [line.split() for line in done.output.splitlines()]
    table = {line[0]: line for line in lines if line and line[0] in {c["name"] for c in classes}}
    assert list(table) == [c["name"] for c in sorted(classes, key=lambda c: -c["ap"])]
    for each in classes:
        (category,) = dataset.getCatIds(catNms=[each["name"]])
        official.params.catIds = [category]
        with redirect_stdout(StringIO()):
            official.evaluate()
            official.accumulate()
            official.summarize()
        stats = official.stats.tolist()
        expected = [stats[0], stats[1], stats[2], stats[8]]
        assert [each[name] for name in ("ap", "ap50", "ap75", "ar")] == expected
        counts = [len(dataset.getAnnIds(catIds=[category], iscrowd=False))]
        counts += [len(found.getAnnIds(catIds=[category]))]
        assert [each["num_gt"], each["detections"]] == counts
        assert table[each["name"]][1:] == [*(f"{n:.5f}" for n in expected), *map(str, counts)]


def test_paddlexs_post_processing_of_layouts(files, tmp_path):
    options = ("--postprocess", "paddlex-layout", "--layout-threshold", "0.3", "--layout-nms")
    outputs = ("--json", tmp_path / "n.json", "--html", tmp_path / "p.html")
    done = run(files, "x.onnx", "--coco", "coco", *options, *outputs)
    assert done.exit_code == 0, done.output
    found, usual = numbers(tmp_path / "n.json"), numbers(files / "numbers.json")
    assert 0 < found["detections"] < usual["detections"]
    described = "threshold 0.3, NMS on, unclip none, merge union"
    assert found["settings"]["paddlex-layout"] == described
    assert found["settings"]["post-processing"] == "ppdet-2.4"
    assert described in words(done)
    assert described in (tmp_path / "p.html").read_text()
    done = run(files, "x.onnx", "--coco", "coco", "--layout-merge", "large")
    assert done.exit_code == 2
    assert "options are of --postprocess paddlex-layout, found ppdet-2.4" in words(done)
    done = run(files, "--predictions", "out.json", "--coco", "coco", *options)
    assert done.exit_code == 2
    assert "paddlex-layout is for a MODEL; found a file" in words(done)


def test_json_tells_what_was_done(files):
    found = numbers(files / "numbers.json")
    assert (found["model"], found["interp"], found["images"]) == ("x.onnx", 2, 10)
    assert found["detections"] == len(numbers(files / "out.json")) > 100
    assert 0 < found["seconds"] < 60
    assert found["annotations"] == "coco/annotations/instances_val2017.json"
    assert found["notes"] == []
    assert found["settings"]["evaluator"] == "hotcoco"
    assert [each["name"] for each in found["classes"]] == ["blue", "red", "green"]
    assert {"picodet", "onnxruntime", "hotcoco"} <= set(found["versions"])
    assert found["worst"]


def test_a_table_is_printed(files):
    printed = (files / "printed.txt").read_text()
    assert f"{numbers(files / 'numbers.json')['stats'][0]:.5f}" in printed
    for text in ("AP50", "ARl", "images/s", "interp 2 (cubic), uint8", "green"):
        assert text in printed


def test_a_page_is_written(files):
    page = (files / "page.html").read_text()
    parsed = ParsedPage(page)
    assert not [link for link in parsed.loaded if not link.startswith("data:")]
    assert "data:image/jpeg" in page
    assert f"{numbers(files / 'numbers.json')['stats'][0]:.5f}" in page


def test_nothing_else_is_left_behind(files):
    names = {path.name for path in files.iterdir()}
    assert {"out.json", "page.html", "numbers.json"} <= names
    assert not [name for name in names if "partial" in name or "tmp" in name]


def test_images_and_annotations_given_separately(files, tmp_path):
    named = ["--images", "coco/val2017", "--annotations", annotation_file(files / "coco")]
    done = run(files, "x.onnx", *named, "--json", tmp_path / "x.json", "--evaluator", "pycocotools")
    assert done.exit_code == 0
    found = numbers(tmp_path / "x.json")
    assert found["stats"] == numbers(files / "numbers.json")["stats"]
    assert found["settings"]["evaluator"] == "pycocotools"


def test_several_interps(files, tmp_path):
    """One file of each; those of interp 2 are the same as alone, to the byte."""
    outputs = ["--out", tmp_path / "o.json", "--html", tmp_path / "p.html"]
    options = ["--interp", 1, "--interp", 2, "--json", tmp_path / "n.json"]
    done = run(files, "x.onnx", "--coco", "coco", *outputs, *options)
    assert done.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("n.json", "o_interp1.json", "o_interp1.json.about.json"),
        *("o_interp2.json", "o_interp2.json.about.json", "p_interp1.html", "p_interp2.html"),
    ]
    first, second = numbers(tmp_path / "n.json")["runs"]
    assert (first["interp"], second["interp"]) == (1, 2)
    assert second["stats"] == numbers(files / "numbers.json")["stats"] != first["stats"]
    assert (tmp_path / "o_interp2.json").read_bytes() == (files / "out.json").read_bytes()
    assert (tmp_path / "o_interp1.json").read_bytes() != (files / "out.json").read_bytes()


def test_portable_resize_is_reported_everywhere(files, tmp_path):
    outputs = ["--out", tmp_path / "o.json", "--html", tmp_path / "p.html"]
    options = ["--resize", "portable", "--json", tmp_path / "n.json"]
    done = run(files, "x.onnx", "--coco", "coco", *outputs, *options)
    assert done.exit_code == 0
    kernels = f"portable (IPP off), {fingerprint('portable')['cubic']}"
    assert kernels in done.output
    assert cpu()[:40] in done.output
    assert kernels in (tmp_path / "p.html").read_text()
    found = numbers(tmp_path / "n.json")["settings"]
    assert (found["resized by"], found["CPU"]) == (kernels, cpu())
    about = numbers(tmp_path / "o.json.about.json")
    assert (about["settings"], about["sha256"]) == (found, sha256(tmp_path / "o.json"))
    usual = numbers(files / "out.json.about.json")["settings"]["resized by"]
    compare = ["--compare", "out.json", tmp_path / "o.json", "--coco", "coco"]
    done = run(files, *compare, "--json", tmp_path / "c.json")
    other = tmp_path / "o.json"
    expected = f"not resized by the same kernels: out.json by {usual}; {other} by {kernels}"
    assert numbers(tmp_path / "c.json")["note"] == (expected if usual != kernels else "")
    assert ("Note: not resized by the same" in done.output) == (usual != kernels)
    (tmp_path / "o.json").write_text("[]")  # the settings are of other detections
    assert read_settings(tmp_path / "o.json") == {}


def test_what_if(files, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    done = run(files, "x.onnx", "--coco", "coco", "--what-if", "--json", tmp_path / "x.json")
    assert done.exit_code == 0
    found = numbers(tmp_path / "x.json")
    assert found["stats"] == numbers(files / "numbers.json")["stats"]
    first, *others = found["what_if"]
    assert first["stats"] == found["stats"]
    assert len(others) == 12 + kernels_differ(2)
    for row in others:
        assert row["name"] in words(done)
        assert row["against_first"]["difference"] == pytest.approx(
            row["stats"][0] - first["stats"][0]
        )
    bgr = next(row for row in others if row["name"] == "BGR for RGB")
    assert bgr["stats"] != first["stats"]
    alone = run(
        files, "x.onnx", "--coco", "coco", "--iou-thr", 0.7, "--json", tmp_path / "iou.json"
    )
    assert alone.exit_code == 0
    (same,) = (row for row in others if row["name"] == "NMS IoU > 0.7")
    assert same["stats"] == numbers(tmp_path / "iou.json")["stats"]


@pytest.mark.parametrize(
    "options",
    [
        ["--postprocess", "ppdet-2.3"],
        ["--score-thr", 0.5],
        ["--iou-thr", 0.4],
        ["--match-classes", "order"],
    ],
)
def test_options_change_the_outcome(files, tmp_path, options):
    done = run(files, "x.onnx", "--coco", "coco", *options, "--json", tmp_path / "x.json")
    assert done.exit_code == 0
    found, usual = numbers(tmp_path / "x.json"), numbers(files / "numbers.json")
    assert (found["stats"], found["detections"]) != (usual["stats"], usual["detections"])
    assert found["settings"] != usual["settings"] or found["notes"]


def test_openvino_finds_the_same(files, tmp_path):
    options = ["--backend", "openvino", "--json", tmp_path / "x.json"]
    assert run(files, "x.onnx", "--coco", "coco", *options).exit_code == 0
    assert np.allclose(
        numbers(tmp_path / "x.json")["stats"], numbers(files / "numbers.json")["stats"], atol=1e-5
    )


@pytest.mark.parametrize(
    ("offset", "within", "code"),
    [(0, 0.01, 0), (0.04, None, 0), (0.06, None, 1), (-0.06, None, 1), (1, 2, 0), (5, 2, 1)],
)
def test_the_expected_ap_sets_the_exit_code(files, offset, within, code):
    expected = 100 * numbers(files / "numbers.json")["stats"][0] + offset
    options = ["--within", within] if within else []
    done = run(files, "x.onnx", "--coco", "coco", "--expect-ap", expected, *options)
    assert done.exit_code == code
    assert ("AP as expected" if code == 0 else "AP NOT as expected") in done.output
    assert f"off by {abs(offset):.3g}" in done.output or offset == 0


def test_expect_ap_holds_for_all_of_several_runs(files):
    options = ["--expect-ap", 100 * numbers(files / "numbers.json")["stats"][0], "--within", 0.01]
    assert run(files, "x.onnx", "--coco", "coco", "--interp", 2, *options).exit_code == 0
    both = ["--interp", 2, "--interp", 1]
    assert run(files, "x.onnx", "--coco", "coco", *both, *options).exit_code == 1


def test_a_predictions_file_is_evaluated_as_the_run_that_wrote_it(files, tmp_path):
    outputs = ["--json", tmp_path / "x.json", "--html", tmp_path / "x.html"]
    done = run(files, "--predictions", "out.json", "--coco", "coco", *outputs)
    assert done.exit_code == 0, done.output
    found, usual = numbers(tmp_path / "x.json"), numbers(files / "numbers.json")
    for key in ("stats", "classes", "curves", "images", "detections", "worst"):
        assert found[key] == usual[key]
    assert found["interp"] is None
    assert "data:image/jpeg" in (tmp_path / "x.html").read_text()
    expected = ["--expect-ap", 100 * usual["stats"][0], "--within", 0.001]
    assert run(files, "--predictions", "out.json", "--coco", "coco", *expected).exit_code == 0


def test_a_predictions_file_of_some_of_the_images(files, tmp_path):
    rows = json.loads((files / "out.json").read_text())
    kept = sorted({row["image_id"] for row in rows})[:4]
    (tmp_path / "some.json").write_text(
        json.dumps([row for row in rows if row["image_id"] in kept])
    )
    annotations = annotation_file(files / "coco")
    outputs = ["--html", tmp_path / "x.html", "--json", tmp_path / "x.json"]
    some = ["--predictions", tmp_path / "some.json", "--annotations", annotations]
    done = run(files, *some, *outputs)
    assert done.output.splitlines()[-2].endswith(" (result), which covers 4 of 10 images")
    assert "the 6 others, " in words(done)
    found = numbers(tmp_path / "x.json")
    assert found["caveat"] == "which covers 4 of 10 images"
    assert "some.json: covers 4 of 10 images of " in found["notes"][0]
    assert "which covers 4 of 10 images</h1>" in (tmp_path / "x.html").read_text()


def test_a_predictions_file_needs_no_images(files, tmp_path):
    annotations = annotation_file(files / "coco")
    outputs = ["--html", tmp_path / "x.html", "--json", tmp_path / "x.json"]
    done = run(files, "--predictions", "out.json", "--annotations", annotations, *outputs)
    assert done.exit_code == 0, done.output
    assert numbers(tmp_path / "x.json")["stats"] == numbers(files / "numbers.json")["stats"]
    assert "data:image/jpeg" not in (tmp_path / "x.html").read_text()


def test_two_predictions_files_side_by_side(files, tmp_path):
    rows = numbers(files / "out.json")
    rows[0]["score"] += 0.001
    (tmp_path / "b.json").write_text(json.dumps(rows[:-2]))
    outputs = ["--json", tmp_path / "x.json"]
    for second, same in ((files / "out.json", True), (tmp_path / "b.json", False)):
        done = run(files, "--compare", "out.json", second, "--coco", "coco", *outputs)
        assert done.exit_code == 0, done.output
        found = numbers(tmp_path / "x.json")
        assert found["same"] is same
        assert found["detections_a"] == len(rows)
        assert found["stats_a"] == numbers(files / "numbers.json")["stats"]
    assert len(found["missing"]) == 2
    assert found["extra"] == []
