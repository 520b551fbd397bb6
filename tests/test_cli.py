"""The commands as a user runs them: what they print, write and return."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import seeded
import skimage
from click.testing import CliRunner
from tracing import SMALL, seeded_checkpoint

from picodet import __version__
from picodet.cli import convert, detect, main

CAT = str(Path(skimage.__file__).parent / "data" / "chelsea.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, the names of its classes, and the converted model."""
    folder = tmp_path_factory.mktemp("cli")
    seeded.write(seeded_checkpoint(SMALL), folder / "picodet_s_128.pdparams")
    (folder / "names.txt").write_text("cat\ndog\ncow\n")
    return folder


def run(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def converted(folder):
    options = ["--classes", folder / "names.txt", "--json", folder / "report.json"]
    source, output = folder / "picodet_s_128.pdparams", folder / "out.pth"
    return run(convert, source, output, *options)


@pytest.fixture(scope="module")
def model(folder, converted):
    assert converted.exit_code == 0
    return folder / "out.pth"


def test_convert_tells_what_became_of_the_checkpoint(folder, converted):
    assert converted.exit_code == 0, converted.output
    for line in (
        "picodet_s_128",
        "580: 576 mapped, 4 left out",
        "head.p3_feat.scale_reg and 3 like it",
    ):
        assert line in converted.output
    report = json.loads((folder / "report.json").read_text())
    assert report["variant"] == "picodet_s_128"
    assert (report["classes"], report["tensors"], report["mapped"]) == (3, 580, 576)
    assert report["parameters"] > 960_000
    assert len(report["sha256"]) == 64
    assert report["left_out"][0]["name"] == "head.p3_feat.scale_reg"


def test_convert_gathers_all_problems(folder):
    arrays = seeded_checkpoint(SMALL)
    for i in range(4):
        del arrays[f"head.head_cls{i}.bias"]
    seeded.write(arrays, folder / "broken.pdparams")
    report = folder / "broken.json"
    result = run(convert, folder / "broken.pdparams", folder / "no.pth", "--json", report)
    assert result.exit_code == 1
    assert "head.head_cls0.bias and 3 like it" in result.output
    assert "nothing was written" in result.output
    assert not (folder / "no.pth").exists()
    assert len(json.loads(report.read_text())["problems"]) == 4


def test_json_replaces_no_file_of_the_command(folder, model):
    source = folder / "picodet_s_128.pdparams"
    before = source.read_bytes(), model.read_bytes()
    for arguments in (
        [convert, source, folder / "new.pth", "--json", source],
        [convert, source, folder / "new.pth", "--json", folder / "new.pth"],
        [detect, model, CAT, "--json", model],
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "name another file" in result.output
    assert (source.read_bytes(), model.read_bytes()) == before
    assert not (folder / "new.pth").exists()


def test_json_tells_machines_of_errors_too(folder):
    report = folder / "error.json"
    result = run(convert, folder / "names.txt", folder / "x.pth", "--json", report)
    assert json.loads(report.read_text())["error"] in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["names.txt", "x.pth"], 1, "not a .pdparams, but text that begins 'cat'"),
        (["absent", "x.pth"], 1, "No such file"),
        (["picodet_s_128.pdparams", "x.onnx"], 1, "the suffix must be one of .pth, .safetensors"),
        (["picodet_s_128.pdparams", "picodet_s_128.pdparams"], 1, "the suffix must be"),
        (["picodet_s_128.pdparams", "no/x.pth"], 1, "there is no directory"),
        (["picodet_s_128.pdparams", "x.pth", "--config", "picodet_m"], 1, "did you mean"),
        (["picodet_s_128.pdparams", "x.pth", "--input-size", "4x4x4"], 2, "416, or 800x608"),
        (["picodet_s_128.pdparams", "x.pth", "--input-size", "100"], 1, "multiples of 32"),
        (["picodet_s_128.pdparams", "x.pth", "--classes", "absent"], 1, "cannot be read"),
        (["picodet_s_128.pdparams", "x.pth", "--json", "no/x.json"], 1, "there is no directory"),
        (["picodet_s_128.pdparams"], 2, "Missing argument 'OUTPUT'"),
    ],
)
def test_convert_says_what_is_wrong(folder, monkeypatch, arguments, code, message):
    monkeypatch.chdir(folder)
    result = run(convert, *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not (folder / "x.pth").exists()


def test_detect_draws_and_tells(folder, model):
    out, report = folder / "drawn", folder / "found.json"
    result = run(detect, model, CAT, "--out", out, "--score", 0.05, "--json", report)
    assert result.exit_code == 0, result.output
    assert "chelsea.png" in result.output
    assert f"1 of 1 pictures drawn in {out}" in result.output
    assert (out / "chelsea.png").is_file()
    (found,) = json.loads(report.read_text())
    assert found["file"] == CAT
    assert len(found["boxes"]) == len(found["scores"]) == len(found["classes"]) > 0
    assert set(found["names"]) <= {"cat", "dog", "cow"}


def test_detect_goes_on_after_a_bad_picture(folder, model):
    (folder / "bad.jpg").write_text("no picture")
    report = folder / "found.json"
    arguments = [model, folder / "bad.jpg", CAT, "--out", folder / "drawn", "--json", report]
    result = run(detect, *arguments)
    assert result.exit_code == 1
    assert "bad.jpg: not a picture" in result.output
    assert "1 of 2 pictures drawn" in result.output
    bad, good = json.loads(report.read_text())
    assert "error" in bad
    assert "boxes" in good


def test_detect_wants_a_converted_model(folder):
    result = run(detect, folder / "picodet_s_128.pdparams", CAT)
    assert result.exit_code == 1
    assert "convert it first" in result.output


@pytest.mark.parametrize("options", [["--score", "2"], ["--interp", "5"]])
def test_detect_knows_its_ranges(model, options):
    assert run(detect, model, CAT, *options).exit_code == 2


def test_the_group_has_the_commands():
    assert "convert" in run(main, "--help").output
    assert run(main, "detect", "--help").exit_code == 0
    assert __version__ in run(main, "--version").output


def test_a_full_disk_behind_the_terminal_is_no_traceback(folder):
    command = [sys.executable, "-m", "picodet", "convert", folder / "picodet_s_128.pdparams"]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*command, folder / "full.pth"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.strip() == "Error: cannot print: No space left on device"


def test_python_m_picodet():
    result = subprocess.run(
        [sys.executable, "-m", "picodet", "--version"], capture_output=True, text=True, check=True
    )
    assert __version__ in result.stdout


def test_help_imports_nothing_heavy():
    """What makes `--help` answer in a tenth of a second."""
    code = (
        "import sys\nfrom picodet.cli import main\n"
        "try: main(['convert', '--help'])\nexcept SystemExit: pass\n"
        "sys.exit(bool({'torch', 'numpy', 'cv2', 'paddle', 'rich'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
