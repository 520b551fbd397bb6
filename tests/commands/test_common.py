"""Errors that no command may answer with a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.cli import main
from picodet.commands.common import Command, add_inputs, add_outputs
from picodet.commands.params import OutputFile
from picodet.errors import PicoDetError
from picodet.files import write_text
from picodet.formats.meta import make_meta
from picodet.models import checkpoint
from scripts.fixtures import seeded
from tests.inference.test_images import CAT

ROOT = Path(__file__).parents[2]
SOURCE = "picodet_s_128.pdparams"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights of picodet and of Paddle, an image, a loop of links."""
    folder = tmp_path_factory.mktemp("files")
    model = filled_model(SMALL, seeded_checkpoint(SMALL))
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    checkpoint.save(folder / "m.pth", weights, make_meta(SMALL, "detector", "x", "ab" * 32))
    seeded.write(seeded_checkpoint(SMALL), folder / SOURCE)
    (folder / "cat.png").write_bytes(CAT.read_bytes())
    (folder / "loop").symlink_to("loop")
    (folder / "loop.onnx").symlink_to("loop.onnx")
    return folder


@pytest.fixture
def run(files, tmp_path, monkeypatch):
    """In a folder that has links to the files."""
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")
    return lambda *words: CliRunner().invoke(main, list(map(str, words)))


LONG = "n" * 300
DATA = ["--images", ".", "--annotations", "x.json"]
READING = [
    ["convert", "{}", "x.pth"],
    ["convert", SOURCE, "x.pth", "--classes", "{}"],
    ["detect", "{}", "cat.png"],
    ["align", "{}", "m.pth"],
    ["align", "m.pth", "{}"],
    ["align", "m.pth", "m.pth", "--image", "{}"],
    ["align", "m.pth", "m.pth", "--paddle-python", "{}"],
    ["align", "record", "{}", "x.safetensors"],
    ["eval", "{}", *DATA],
    ["eval", "m.pth", "--coco", "{}"],
    ["eval", "m.pth", "--images", ".", "--annotations", "{}"],
    ["eval", "m.pth", "--images", "{}", "--annotations", "x.json"],
    ["eval", "--predictions", "{}", *DATA],
    ["eval", "--compare", "{}", "x.json", *DATA],
    ["eval", "m.pth", *DATA, "--resume", "{}"],
    ["export", "{}", "x.onnx"],
    ["export", "m.pth", "x.onnx", "--image", "{}"],
    ["train", "{}", *DATA],
    ["train", "--print", "{}"],
    ["train", "picodet_s_320_coco", *DATA, "--pretrained", "{}"],
    ["train", "picodet_s_320_coco", *DATA, "--classes", "{}"],
]
WRITING = [
    ["convert", SOURCE, "x.pth", "--json", "{}"],
    ["detect", "m.pth", "cat.png", "--out", "{}"],
    ["align", "m.pth", "m.pth", "--html", "{}"],
    ["align", "record", SOURCE, "{}.safetensors"],
    ["eval", "m.pth", *DATA, "--out", "{}"],
    ["export", "m.pth", "{}.onnx", "--overwrite"],
    ["train", "picodet_s_320_coco", *DATA, "--out", "{}"],
    ["list", "--json", "{}"],
]


@pytest.mark.parametrize("words", READING + WRITING)
@pytest.mark.parametrize(
    ("name", "reason"),
    [("loop", "Too many levels of symbolic links"), (LONG, "File name too long")],
)
def test_a_name_that_leads_nowhere_is_reported(run, tmp_path, words, name, reason):
    (tmp_path / "x.json").touch()
    for suffix in (".onnx", ".safetensors"):
        (tmp_path / f"loop{suffix}").unlink(missing_ok=True)
        (tmp_path / f"loop{suffix}").symlink_to(f"loop{suffix}")
    done = run(*(word.replace("{}", name) for word in words))
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == (2 if words[0] == "align" else 1), done.output
    assert reason in done.output
    assert name[:250] in done.output
    assert "cannot print" not in done.output


@pytest.mark.parametrize("words", WRITING)
def test_a_folder_that_is_not_there_is_reported(run, tmp_path, words):
    (tmp_path / "x.json").touch()
    done = run(*(word.replace("{}", "a/b") for word in words))
    assert done.exit_code == (2 if words[0] == "align" else 1)
    assert "there is no folder a; create it first" in done.output
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
@pytest.mark.parametrize("device", ["meta", "hpu", "cuda:99", "nowhere", ""])
@pytest.mark.parametrize(
    "words",
    [["detect", "m.pth", "cat.png"], ["train", "picodet_s_320_coco", *DATA]],
)
def test_a_device_that_is_not_there_is_reported(run, words, device):
    done = run(*words, "--device", device, "--out", "d")
    assert done.exit_code == 1, done.output
    assert f"device {device}: torch cannot use it here: " in done.output
    assert done.output.count("Error") == 1


def failing(error):
    """A command that writes a report, or an error."""

    @click.command(cls=Command)
    @click.option("--json", "json_file", type=OutputFile())
    def command(json_file):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "No space left on device (in "),
        (PermissionError(13, "Permission denied", "a/b"), "a/b: Permission denied"),
        (OSError("odd"), "odd (in "),
        (MemoryError(), "there is not enough memory: Python could not allocate more"),
        (MemoryError("8 GiB"), "there is not enough memory: 8 GiB"),
        (RuntimeError("can't allocate memory: 8 GiB\nmore"), "there is not enough memory (can't"),
    ],
)
def test_what_the_system_refuses_is_reported_as_what_it_is(tmp_path, error, message):
    json_file = tmp_path / "x.json"
    done = CliRunner().invoke(failing(error), ["--json", str(json_file)])
    assert done.exit_code == 1
    if "(in " in message:  # what stands there is a module of ours, where one is involved
        message = message.removesuffix(" (in ")
    assert done.output.startswith(f"Error: {message}")
    assert message in json.loads(json_file.read_text())["error"]


def test_a_bug_is_no_memory(tmp_path):
    done = CliRunner().invoke(failing(RuntimeError("a bug")), [])
    assert isinstance(done.exception, RuntimeError)


def test_what_is_found_out_later_is_held_against_the_outputs(tmp_path):
    @click.command(cls=Command)
    @click.option("--json", "json_file", type=OutputFile())
    def command(json_file):
        (tmp_path / "fetched").write_text("x")
        add_inputs(tmp_path / "fetched")
        add_outputs(tmp_path / "x.json")

    done = CliRunner().invoke(command, ["--json", str(tmp_path / "fetched")])
    assert done.exit_code == 1
    assert "name another file" in done.output
    assert (tmp_path / "fetched").read_text() == "x"
    assert CliRunner().invoke(command, ["--json", str(tmp_path / "x.json")]).exit_code == 1
    assert not (tmp_path / "x.json").exists()
    assert CliRunner().invoke(command, ["--json", str(tmp_path / "y.json")]).exit_code == 0


def process(folder, words, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "picodet", *words],
        cwd=folder,
        env=environment | options.pop("variables", {}),
        capture_output=True,
        check=False,
        **options,
    )


@pytest.mark.slow
def test_a_terminal_without_a_sign_for_a_name(files, tmp_path):
    name = "grün_猫"
    model, image = tmp_path / f"{name}.pth", tmp_path / f"{name}.png"
    model.symlink_to(files / "m.pth")
    image.symlink_to(files / "cat.png")
    words = ["detect", model, image, "--out", tmp_path / name, "--score-thr", "0.05"]
    done = process(tmp_path, words, variables={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"1 of 1 images drawn in " in done.stdout
    assert rb"gr\xfcn_\u732b" in done.stdout
    assert (tmp_path / name / f"{name}.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(files, tmp_path, streams):
    """The next opened file would get the number of a closed stream."""
    command = f'"{sys.executable}" -m picodet convert {files / SOURCE} x.pth --json x.json'
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} {streams}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads((tmp_path / "x.json").read_text())["kind"] == "detector"
    assert checkpoint.load(tmp_path / "x.pth").config.input_size == (128, 128)


def test_an_error_of_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(PicoDetError, match=r"x: cannot be written: File name too long"):
        write_text(tmp_path / ("n" * 300 + "x"), "")
