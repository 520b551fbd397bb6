"""The commands as a user runs them: what they print, write and return."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import skimage
from click.testing import CliRunner
from tracing import SMALL, seeded_checkpoint

from picodet import __version__
from picodet.cli import convert, detect, main
from scripts.fixtures import seeded

HEAVY = {
    *("cv2", "hotcoco", "numpy", "onnx", "onnxruntime", "openvino", "pycocotools", "rich"),
    *("safetensors", "torch", "yaml"),
}
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
def model(folder):
    source, output = folder / "picodet_s_128.pdparams", folder / "out.pth"
    assert run(convert, source, output, "--classes", folder / "names.txt").exit_code == 0
    return output


def test_json_replaces_no_file_of_the_command(model):
    before = model.read_bytes()
    result = run(detect, model, CAT, "--json", model)
    assert result.exit_code == 1
    assert "name another file" in result.output
    assert model.read_bytes() == before


def test_detect_draws_and_tells(folder, model):
    out, report = folder / "drawn", folder / "found.json"
    result = run(detect, model, CAT, "--out", out, "--score-thr", 0.05, "--json", report)
    assert result.exit_code == 0, result.output
    assert "chelsea.png" in result.output
    assert f"1 of 1 images drawn in {out}" in result.output
    assert (out / "chelsea.png").is_file()
    (found,) = json.loads(report.read_text())
    assert found["file"] == CAT
    assert len(found["boxes"]) == len(found["scores"]) == len(found["classes"]) > 0
    assert set(found["names"]) <= {"cat", "dog", "cow"}


def test_detect_goes_on_after_a_bad_image(folder, model):
    (folder / "bad.jpg").write_text("no image")
    report = folder / "found.json"
    arguments = [model, folder / "bad.jpg", CAT, "--out", folder / "drawn", "--json", report]
    result = run(detect, *arguments)
    assert result.exit_code == 1
    assert "bad.jpg: not an image" in result.output
    assert "1 of 2 images drawn" in result.output
    bad, good = json.loads(report.read_text())
    assert "error" in bad
    assert "boxes" in good


@pytest.mark.slow
def test_detect_takes_what_convert_takes(folder, model):
    """The same weights and detections; assumptions are printed."""
    found = []
    for name in ("picodet_s_128.pdparams", "out.pth"):
        options = ["--out", folder / "drawn", "--score-thr", 0.05, "--json", folder / "found.json"]
        result = run(detect, folder / name, CAT, *options)
        assert result.exit_code == 0, result.output
        found.append(json.loads((folder / "found.json").read_text())[0])
        assert ("the classes are numbered" in result.stderr) == (name != "out.pth")
    assert found[0]["boxes"] == found[1]["boxes"]


def test_detect_says_what_is_no_model(folder):
    result = run(detect, folder / "names.txt", CAT)
    assert result.exit_code == 1
    assert "not a .pdparams, but text" in " ".join(result.output.split())


@pytest.mark.parametrize("options", [["--score-thr", "2"], ["--interp", "5"]])
def test_detect_knows_its_ranges(model, options):
    assert run(detect, model, CAT, *options).exit_code == 2


def test_the_group_has_the_commands():
    shown = run(main, "--help").output
    for command in ("convert", "detect", "align", "eval", "export", "list"):
        assert command in shown
        assert run(main, command, "--help").exit_code == 0
    assert __version__ in run(main, "--version").output


@pytest.mark.slow
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


@pytest.mark.parametrize("module", ["picodet", "picodet.cli"])
def test_importing_it_imports_nothing_heavy(module):
    code = f"import sys, {module}; print(*{HEAVY!r} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


def test_help_imports_nothing_heavy():
    """Slow imports, which `--help` must not do: it answers in a tenth of a second."""
    code = (
        "import sys\nfrom picodet.cli import main\n"
        "try: main(['convert', '--help'])\nexcept SystemExit: pass\n"
        f"sys.exit(bool({HEAVY | {'paddle'}!r} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.filterwarnings("default")
def test_a_decoders_harmless_warning_is_a_note(model, tmp_path):
    jpeg = cv2.imencode(".jpg", cv2.imread(CAT))[1].tobytes()
    (tmp_path / "padded.jpg").write_bytes(jpeg[:-2] + bytes(9) + jpeg[-2:])
    result = run(detect, model, tmp_path / "padded.jpg", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "note: " in result.stderr
    assert "padded.jpg: its decoder reports 'Corrupt JPEG data: " in result.stderr
    assert "warnings.warn" not in result.stderr
