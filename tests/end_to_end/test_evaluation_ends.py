"""How `picodet-eval` ends otherwise: refused, interrupted, with images left out."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from drawn_coco import read, write_annotations
from eval_runs import DATASET, ROOT, numbers, prepare, run, start, words
from gated_image import PATIENCE, GatedImage

from picodet.errors import EvaluationError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network, a dataset, and what the first finds in the second."""
    folder = prepare(tmp_path_factory.mktemp("eval"))
    assert run(folder, "x.onnx", *DATASET, "--out", "out.json").exit_code == 0
    return folder


@pytest.fixture
def own(tmp_path):
    """A network and a dataset to be changed."""
    return prepare(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (DATASET, "one of MODEL, --predictions and --compare is expected"),
        (["x.onnx", *DATASET, "--predictions", "out.json"], "one of MODEL, --predictions"),
        (["x.onnx", *DATASET, "--compare", "out.json", "out.json"], "one of MODEL, --predictions"),
        (
            ["x.onnx"],
            "--coco DIR, --data PATH, or --images DIR and --annotations FILE are expected",
        ),
        (
            ["x.onnx", "--images", "coco/val2017"],
            "--coco DIR, --data PATH, or --images DIR and --annotations",
        ),
        (
            ["x.onnx", "--annotations", "x.json"],
            "--coco DIR, --data PATH, or --images DIR and --annotations",
        ),
        (
            ["x.onnx", *DATASET, "--images", "coco/val2017"],
            "--coco DIR, --data PATH, or --images DIR",
        ),
        (
            ["--predictions", "out.json"],
            "--coco DIR, --data PATH, or --images DIR and --annotations",
        ),
        (["x.onnx", *DATASET, "--interp", 5], "5 is not in the range 0<=x<=4"),
        (["x.onnx", *DATASET, "--score-thr", 2], "2.0 is not in the range"),
        (["x.onnx", *DATASET, "--iou-thr", -1], "-1.0 is not in the range"),
        (["x.onnx", *DATASET, "--batch", 0], "0 is not in the range"),
        (["x.onnx", *DATASET, "--threads", 0], "0 is not in the range"),
        (["x.onnx", *DATASET, "--postprocess", "ppdet-2.5"], "'ppdet-2.5' is not one of"),
        (["x.onnx", *DATASET, "--input-size", "4x4x4"], "416, or 800x608"),
        (["x.onnx", *DATASET, "--backend", "tensorrt"], "'tensorrt' is not one of"),
        ([*DATASET, "--compare", "out.json"], "requires 2 arguments"),
    ],
)
def test_wrong_usage(files, arguments, message):
    done = run(files, *arguments)
    assert done.exit_code == 2
    assert message in words(done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.onnx", *DATASET], "absent.onnx: there is no such file"),
        (["coco", *DATASET], "coco: holds annotations, val2017; expected a .pdparams"),
        (["picodet_s_320_voc", *DATASET], "publishes no weights of this config"),
        (["x.onnx", "--coco", "absent"], "absent: no val split of COCO"),
        (["x.onnx", *DATASET, "--input-size", 96], "takes 64x64 only"),
        (["x.onnx", *DATASET, "--resume", "absent.npz"], "absent.npz: no such progress file"),
        (["x.onnx", *DATASET, "--resume", "x.onnx"], "not the progress file of an"),
        (["--predictions", "absent.json", *DATASET], "absent.json: cannot be read"),
        (["--predictions", "x.onnx", *DATASET], "x.onnx: is not JSON"),
        (["--compare", "out.json", "absent.json", *DATASET], "absent.json: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_refused(files, tmp_path, arguments, message):
    done = run(files, *arguments, "--json", tmp_path / "error.json")
    assert done.exit_code == 1
    assert message in words(done)
    assert message in numbers(tmp_path / "error.json")["error"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "no/x.json"], "there is no folder no"),
        (["--html", "no/x.html"], "there is no folder no"),
        (["--json", "no/x.json"], "there is no folder no"),
        (["--out", "coco"], "coco is a directory"),
        (["--out", "x.onnx"], "x.onnx: also an input or another output"),
        (["--html", "x.onnx"], "x.onnx: also an input or another output"),
        (["--json", "x.onnx"], "x.onnx: also an input or another output"),
        (["--out", "a", "--html", "a"], "a: also an input or another output"),
        (["--out", "a", "--json", "a"], "a: also an input or another output"),
        (["--out", "coco/annotations/instances_val2017.json"], "which is read; name another file"),
    ],
)
def test_what_could_not_be_written_is_refused_before_the_work(files, monkeypatch, options, message):
    before = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
    monkeypatch.setattr("picodet.evaluation.evaluator.detect_dataset", lambda *_: 1 / 0)
    done = run(files, "x.onnx", *DATASET, *options)
    assert done.exit_code == 1
    assert message in words(done)
    assert {path: path.read_bytes() for path in files.rglob("*") if path.is_file()} == before


def test_a_bad_image_stops_or_is_left_out_and_reported(own):
    (own / "coco" / "val2017" / "5.png").unlink()
    done = run(own, "x.onnx", *DATASET, "--out", "out.json")
    assert done.exit_code == 1
    assert "5.png: cannot be read: No such file or directory; --skip-corrupt leaves" in words(done)
    assert not (own / "out.json").exists()
    done = run(own, "x.onnx", *DATASET, "--skip-corrupt", "--json", "x.json", "--html", "x.html")
    assert done.exit_code == 0
    note = "1 image left out as unusable, so that this AP is not COCO's: 5.png"
    assert note in words(done)
    assert "(interp 2), not COCO's: 1 image left out" in done.output.splitlines()[-2]
    page = (own / "x.html").read_text()
    assert "1 image left out as unusable" in page
    assert "not COCO&#x27;s: 1 image left out</h1>" in page
    found = numbers(own / "x.json")
    assert (found["images"], found["notes"]) == (9, [note])


def test_other_classes_are_left_out_and_reported(own):
    content = read(own / "coco")
    content["categories"].append({"id": 80, "name": "yellow"})
    write_annotations(own / "coco", content)
    done = run(own, "x.onnx", *DATASET)
    assert done.exit_code == 0
    assert "over 3 of 4 categories: the model has no class for yellow (0 boxes" in words(done)
    by_order = run(own, "x.onnx", *DATASET, "--match-classes", "order")
    assert by_order.exit_code == 1
    assert (
        "colors has 3 classes (red, green, blue); the annotations have 4 categories "
        "(blue, red, green, yellow)" in words(by_order)
    )


def test_nothing_found_is_an_ap_of_zero(files, tmp_path):
    done = run(files, "x.onnx", *DATASET, "--score-thr", 1, "--json", tmp_path / "x.json")
    assert done.exit_code == 0
    found = numbers(tmp_path / "x.json")
    assert (found["detections"], found["stats"][0]) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_to_the_same_bytes(files, own, sign):
    """Silent where nobody looks: standard error is no terminal."""
    gate = GatedImage(own / "coco" / "val2017" / "5.png")  # the fifth
    process = start(own)
    gate.reached(process)
    gate.open()
    gate.reached(process)  # now detecting
    process.send_signal(sign)
    gate.open()
    output, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + sign  # as a shell says it
    assert output == ""
    assert "Error: interrupted; " in error
    assert "are in out.partial.npz: --resume out.partial.npz continues" in " ".join(error.split())
    assert len(error.strip().splitlines()) <= 2
    assert not (own / "out.json").exists()
    gate.path.unlink()
    gate.path.write_bytes(gate.content)
    done = run(own, "x.onnx", *DATASET, "--out", "out.json", "--resume", "out.partial.npz")
    assert done.exit_code == 0, done.output
    assert (own / "out.json").read_bytes() == (files / "out.json").read_bytes()


def test_an_interruption_before_anything_is_done(own):
    gate = GatedImage(own / "coco" / "val2017" / "5.png")
    process = start(own)
    gate.reached(process)  # checking
    process.send_signal(signal.SIGINT)
    gate.open()
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert error == "Error: interrupted; nothing was done yet that could be resumed\n"
    assert not list(own.glob("*.npz"))


@pytest.mark.slow
def test_nothing_is_printed_on_standard_error(own):
    process = start(own)
    output, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (0, "")
    assert "AP50" in output


def test_help_imports_nothing_heavy():
    heavy = {"torch", "numpy", "cv2", "onnx", "onnxruntime", "openvino", "hotcoco", "rich"}
    code = (
        "import sys\nfrom picodet.cli import main\n"
        "try: main(['eval', '--help'])\nexcept SystemExit: pass\n"
        f"sys.exit(bool({heavy} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
def test_an_onnx_is_evaluated_without_torch(own):
    code = (
        "import sys\nfrom picodet.cli import main\n"
        "try: main(['eval', 'x.onnx', '--coco', 'coco', '--html', 'x.html', '--what-if'])\n"
        "except SystemExit as end: assert not end.code\n"
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, capture_output=True, cwd=own, env=environment)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            [],
            {"threads": 5, "batch": 1, "interps": (), "progress_path": "picodet-eval.partial.npz"},
        ),
        (["--device", "cuda"], {"batch": 16}),
        (["--device", "cuda", "--batch", 3], {"batch": 3}),
        (["--threads", 2, "--batch", 4], {"threads": 2, "batch": 4}),
        (["--out", "x.json"], {"progress_path": "x.partial.npz", "resume": None}),
        (["--resume", "y.npz", "--out", "x.json"], {"progress_path": "y.npz", "resume": "y.npz"}),
    ],
)
def test_what_is_asked_of_an_evaluation(files, monkeypatch, options, expected):
    asked = []

    def detect_dataset(given, *_):
        asked.append(given)
        raise EvaluationError("enough")

    monkeypatch.setattr("picodet.evaluation.evaluator.detect_dataset", detect_dataset)
    monkeypatch.setattr("picodet.evaluation.evaluator.default_threads", lambda: 5)
    assert run(files, "x.onnx", *DATASET, *options).exit_code == 1
    found = {name: getattr(asked[0], name) for name in expected}
    assert {n: str(v) if isinstance(v, Path) else v for n, v in found.items()} == expected
    assert asked[0].runtime_options.threads == 1  # of each call; calls go side by side
