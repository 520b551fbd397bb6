"""picodet-align as a user runs it: what it prints and writes, and its exit code."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import own_recording
import pytest
from click.testing import CliRunner
from exporting import export_onnx

from picodet.alignment import open_candidate
from picodet.cli import align, convert
from picodet.download import fetch
from picodet.zoo.official import CONFIGS
from scripts.fixtures import seeded


class Fetched(NamedTuple):
    path: Path


STAGES = ["weights", "preprocessing", "layers", "heads", "decoding", "NMS"]
GUILTY = "neck.conv_t.convs.1.bn"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recording, the model it is of, one that is wrong in one weight, and an ONNX."""
    folder = tmp_path_factory.mktemp("align")
    model = own_recording.pristine()
    own_recording.record(model, folder / "recording.safetensors")
    own_recording.save(model, folder / "model.pth")
    export_onnx(model, folder / "model.onnx")
    model.neck.conv_t.convs[1].bn.running_mean[7] += 0.5
    own_recording.save(model, folder / "wrong.pth")
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    def run(*arguments):
        result = CliRunner().invoke(align, [str(argument) for argument in arguments])
        assert "Traceback" not in result.output
        return result

    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    return run


@pytest.mark.slow
def test_aligned_is_zero(run):
    result = run("recording.safetensors", "model.pth")
    assert result.exit_code == 0, result.output
    assert result.output.strip().endswith("\nALIGNED")
    for stage in STAGES:
        assert any(line.split()[:2] == [stage, "aligned"] for line in result.output.splitlines()), (
            stage
        )


@pytest.mark.slow
def test_differing_is_one_and_names_the_layer(run):
    result = run("recording.safetensors", "wrong.pth")
    assert result.exit_code == 1
    assert "DIFFERS: 1 guilty layer" in result.output
    assert f"guilty {GUILTY}: " in result.output
    assert "layers         differs" in result.output
    assert "backbone.stem" not in result.output  # one line for all layers


def test_not_comparable_is_two(run):
    for arguments in (["absent", "model.pth"], ["recording.safetensors", "absent.pth"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.output.startswith("Error: absent")
        assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["recording.safetensors"],
        ["recording.safetensors", "model.pth", "model.pth"],
        ["recording.safetensors", "model.pth", "--tolerance", "much"],
        ["recording.safetensors", "model.pth", "--unknown"],
        ["record", "model.onnx"],
        ["record", "model.onnx", "r.safetensors", "--input-size", "4x4x4"],
    ],
)
def test_wrong_usage_is_two(run, arguments):
    assert run(*arguments).exit_code == 2


@pytest.mark.slow
def test_layerwise_shows_blocks_and_all_that_is_known_of_the_guilty(run):
    output = run("recording.safetensors", "wrong.pth", "--layerwise").output
    rows = [line.split() for line in output.splitlines()]
    assert next(row for row in rows if row[:1] == ["backbone.stem"])[-1] == "aligned"
    assert next(row for row in rows if row[:1] == ["neck.conv_t"])[-1] == "guilty"
    assert "backbone.stem.conv" not in output
    assert f"guilty {GUILTY} (BatchNorm2d)" in output
    assert ["reference", GUILTY] in rows


@pytest.mark.slow
def test_all_unfolds_the_blocks(run):
    output = run("recording.safetensors", "wrong.pth", "--all").output
    rows = [line.split() for line in output.splitlines()]
    names = [row[0] for row in rows if row]
    assert {"conv_dw_merge.conv", "se.reduce", "convs.1.bn"} <= set(names)
    assert next(row for row in rows if row[:1] == ["convs.1.bn"])[-1] == "guilty"


@pytest.mark.slow
def test_both_may_be_official_names(run, folder, monkeypatch):
    asked = []

    def fetched(url, progress):
        asked.append(url.rpartition("/")[2])
        files = {"picodet_s_416_coco": "model.onnx", "picodet_m_416_coco": "model.pth"}
        return Fetched(folder / files[asked[-1].removesuffix(".pdparams")])

    monkeypatch.setattr(fetch, "fetch", fetched)
    assert run("picodet_s_416_coco", "picodet_m_416_coco").output.strip().endswith("\nALIGNED")
    assert run("record", "picodet_s_416_coco", "official.safetensors", "--input-size", "64").output
    assert asked == [
        *("picodet_s_416_coco.pdparams", "picodet_m_416_coco.pdparams"),
        "picodet_s_416_coco.pdparams",
    ]
    assert (folder / "official.safetensors").is_file()


@pytest.mark.slow
def test_any_form_of_a_model(run, folder):
    """As picodet-convert writes it, or takes it."""
    arrays = seeded.checkpoint(seeded.shapes(own_recording.CONFIG))
    seeded.write(arrays, folder / "other.pdparams")
    own_recording.save(own_recording.pristine(), folder / "hub")
    for model in ("other.pdparams", "hub"):
        assert run("recording.safetensors", model).output.strip().endswith("\nALIGNED")


@pytest.mark.slow
def test_a_tolerance_takes_the_noises_place(run):
    result = run("recording.safetensors", "wrong.pth", "--tolerance", "2")
    assert "--tolerance 2 was chosen" in result.output
    assert result.exit_code == 1  # the weights still differ
    assert "layers         aligned" in result.output


@pytest.mark.slow
def test_json_for_machines(run, folder):
    assert run("recording.safetensors", "wrong.pth", "--json", "o.json").exit_code == 1
    content = json.loads((folder / "o.json").read_text())
    assert content["aligned"] is False
    assert [stage["name"] for stage in content["stages"]] == STAGES
    verdicts = {stage["name"]: stage["verdict"] for stage in content["stages"]}
    assert verdicts == dict.fromkeys(STAGES, "aligned") | dict.fromkeys(
        ("weights", "layers", "heads"), "differs"
    )
    (guilty,) = content["guilty"]
    assert (guilty["path"], guilty["reference"], guilty["where"]) == (GUILTY, GUILTY, "output")
    assert guilty["local"]["error"] > guilty["local"]["allowed"] > guilty["local"]["floor"] > 0
    assert guilty["accumulated"]["error"] > 0
    assert "running_mean" in guilty["diagnosis"]
    assert content["unpaired"] == []
    assert len(content["layers"]) == 394
    assert content["environment"]["model"] == "wrong.pth"


def test_errors_in_json_too(run, folder):
    result = run("absent", "model.pth", "--json", "e.json")
    assert result.exit_code == 2
    assert json.loads((folder / "e.json").read_text())["error"] in result.output


@pytest.mark.slow
def test_the_page_is_written_and_needs_nothing_else(run, folder):
    assert run("recording.safetensors", "wrong.pth", "--html", "o.html").exit_code == 1
    page = (folder / "o.html").read_text()
    assert GUILTY in page
    for outside in ("http://", "https://", "<script src", "<link", "@import", "url("):
        assert outside not in page.replace("http://www.w3.org/", "").replace("url(#", "")


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_outputs_replace_no_input(run, folder, option):
    for name in ("recording.safetensors", "model.pth"):
        before = (folder / name).read_bytes()
        result = run("recording.safetensors", "model.pth", option, name)
        assert result.exit_code == 2
        assert "name another file" in result.output
        assert (folder / name).read_bytes() == before
    result = run("recording.safetensors", "model.pth", "--html", "x", "--json", "x")
    assert result.exit_code == 2
    result = run("recording.safetensors", "model.pth", option, "no/such")
    assert result.exit_code == 2
    assert "there is no folder" in result.output


@pytest.mark.slow
def test_an_onnx_is_recorded_and_compared(run, folder):
    arguments = ["--input-size", "64", "--json", "r.json"]
    result = run("record", "model.onnx", "onnx.safetensors", *arguments)
    assert result.exit_code == 0, result.output
    assert "written onnx.safetensors" in result.output
    report = json.loads((folder / "r.json").read_text())
    assert (report["kind"], report["bytes"]) == (
        "onnx",
        (folder / "onnx.safetensors").stat().st_size,
    )
    for reference in ("onnx.safetensors", "model.onnx"):
        result = run(reference, "model.pth")
        assert result.exit_code == 0, result.output
        assert result.output.strip().endswith("ALIGNED")
    result = run("onnx.safetensors", "wrong.pth")
    assert result.exit_code == 1
    assert GUILTY in result.output


@pytest.mark.slow
def test_a_summary_is_small_and_enough(run, folder):
    arguments = ["--input-size", "64", "--summary"]
    assert run("record", "model.onnx", "summary.safetensors", *arguments).exit_code == 0
    full = folder / "full.safetensors"
    assert run("record", "model.onnx", full, "--input-size", "64").exit_code == 0
    assert (folder / "summary.safetensors").stat().st_size < full.stat().st_size / 4
    assert run("summary.safetensors", "model.pth").exit_code == 0
    assert run("summary.safetensors", "wrong.pth").exit_code == 1


def test_record_overwrites_nothing_unasked(run, folder):
    before = (folder / "recording.safetensors").read_bytes()
    result = run("record", "model.onnx", "recording.safetensors")
    assert result.exit_code == 2
    assert "--overwrite" in result.output
    assert (folder / "recording.safetensors").read_bytes() == before


def test_record_failing_is_two(run):
    for reference, message in (("absent", "no such file"), ("o.json", "not a reference")):
        (Path.cwd() / "o.json").write_text("{}")
        result = run("record", reference, "r.safetensors")
        assert result.exit_code == 2
        assert message in result.output


@pytest.mark.slow
@pytest.mark.skipif(find_spec("paddle") is not None, reason="Paddle is here")
def test_what_ppdet_is_to_run_goes_by_the_name_it_was_given(run):
    result = run("model.pth", "model.pth")
    assert result.exit_code == 2
    assert result.output.startswith("Error: model.pth: needs paddle")


@pytest.fixture(scope="module")
def seeded_s(tmp_path_factory):
    """PicoDet-S-416 of seeded weights, converted."""
    folder = tmp_path_factory.mktemp("seeded")
    name = "picodet_s_416_coco"
    seeded.write(seeded.checkpoint(seeded.shapes(CONFIGS[name])), folder / f"{name}.pdparams")
    result = CliRunner().invoke(
        convert, [str(folder / f"{name}.pdparams"), str(folder / "model.pth")]
    )
    assert result.exit_code == 0, result.output
    return folder / "model.pth"


@pytest.mark.slow
def test_ours_is_what_ppdet_recorded_in_double(run, golden, seeded_s, folder):
    recording = golden / "picodet_s_416_float64.safetensors"
    result = run(recording, seeded_s, "--json", folder / "golden.json")
    assert result.exit_code == 0, result.output
    content = json.loads((folder / "golden.json").read_text())
    assert content["unpaired"] == []
    assert {stage["verdict"] for stage in content["stages"]} == {"aligned"}
    differences = [layer["accumulated"] for layer in content["layers"] if layer["accumulated"]]
    assert len(differences) == 392
    assert max(difference["error"] / difference["scale"] for difference in differences) < 1e-12


@pytest.mark.slow
def test_an_epsilon_as_a_double_shows(run, golden, seeded_s, monkeypatch):
    """Of one batch norm, 1e-5, where Paddle keeps it in float32: 2.5e-15 away."""
    filled = open_candidate.model_with_weights

    def wrong(*arguments):
        model = filled(*arguments)
        model.backbone.stem.bn.eps = 1e-5
        return model

    monkeypatch.setattr(open_candidate, "model_with_weights", wrong)
    recording = golden / "picodet_s_416_float64.safetensors"
    result = run(recording, seeded_s, "--tolerance", "1e-13")
    assert result.exit_code == 1
    assert "guilty backbone.stem.bn" in result.output


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom picodet.cli import align\n"
        "try: align(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(bool({'torch', 'numpy', 'onnx', 'cv2', 'rich'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert "REFERENCE" in result.stdout


@pytest.mark.slow
def test_a_full_disk_behind_the_terminal_is_not_a_difference(folder):
    command = [sys.executable, "-c", "from picodet.cli import align; align()"]
    files = [folder / "recording.safetensors", folder / "model.pth"]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*command, *files], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_progress_is_silent_where_nobody_looks(run):
    assert "comparing" not in run("recording.safetensors", "model.pth").output
