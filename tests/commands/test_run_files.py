"""No output replaces an input, another output, or a file of the run, in any command."""

import json
import os
import shutil

import pytest
from click.testing import CliRunner
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.cli import main
from picodet.commands.run_files import RESULT_SUFFIXES, RunFiles
from picodet.errors import OutputError
from picodet.formats.meta import make_meta
from picodet.models import checkpoint
from scripts.fixtures import seeded
from tests.inference.test_images import CAT


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights of ours and of Paddle's, names of the classes, an image."""
    folder = tmp_path_factory.mktemp("files")
    model = filled_model(SMALL, seeded_checkpoint(SMALL))
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    meta = make_meta(SMALL, "detector", "seeded.pdparams", "ab" * 32)
    checkpoint.save(folder / "m.pth", weights, meta)
    seeded.write(seeded_checkpoint(SMALL), folder / "picodet_s_128.pdparams")
    (folder / "c.pth").write_text("cat\ndog\ncow\n")
    (folder / "notes.yml").write_text("recipe: picodet_s_320_coco\n")
    (folder / "boxes.json").write_text("{}")
    (folder / "images").mkdir()
    shutil.copy(CAT, folder / "images" / "cat.png")
    (folder / "out").mkdir()
    (folder / "out" / "last_ema.pth").write_text("trained")
    (folder / "hard.pth").hardlink_to(folder / "m.pth")
    (folder / "soft.pth").symlink_to("m.pth")
    return folder


DATA = ["--images", "images", "--annotations", "boxes.json"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "train notes.yml {data} --out out --resume --json out/last_ema.pth",
        "train notes.yml {data} --out out --resume --json out/log.jsonl",
        "train notes.yml {data} --out out --resume --json out/images.json",
        "train notes.yml {data} --out out --resume --json out/training.lock",
        "train notes.yml {data} --out out --resume --json out/checkpoints/000000001.safetensors",
        "train notes.yml {data} --out out --pretrained out/last_ema.pth",
        "train notes.yml {data} --out t --json notes.yml",
        "train notes.yml {data} --out t --json boxes.json",
        "train notes.yml {data} --out t --json images/cat.png",
        "train notes.yml {data} --out t --classes c.pth --json c.pth",
        "train --print notes.yml --json notes.yml",
        "detect m.pth images/cat.png --out out --json out/cat.png",
        "detect m.pth images --out out --json out/cat.png",
        "detect m.pth images --out d --json images/cat.png",
        "detect m.pth images/cat.png --out d --json d",
        "detect m.pth images/cat.png --out d --json m.pth",
        "detect m.pth images/cat.png --out d --json soft.pth",
        "detect m.pth images/cat.png --out d --json hard.pth",
        "convert picodet_s_128.pdparams c.pth --classes c.pth --overwrite",
        "convert m.pth soft.pth --overwrite",
        "convert m.pth hard.pth --overwrite",
        "convert m.pth x.pdparams --json x.pdparams",
        "convert m.pth x --json x/config.json",
        "export m.pth x.onnx --json ./x.onnx",
        "export m.pth x.onnx --image images/cat.png --json images/cat.png",
        "eval m.pth {data} --json boxes.json",
        "eval m.pth {data} --out images/cat.png",
        "eval m.pth {data} --interp 1 --interp 2 --out x.json --json x_interp2.json",
        "eval m.pth {data} --out x.json --json x.partial.npz",
        "eval --predictions boxes.json --annotations c.pth --html boxes.json",
        "eval --compare boxes.json c.pth --annotations notes.yml --json c.pth",
        "align m.pth picodet_s_128.pdparams --html x --json x",
        "align m.pth picodet_s_128.pdparams --html picodet_s_128.pdparams",
        "align record picodet_s_128.pdparams x.safetensors --json x.safetensors",
    ],
)
def test_nothing_is_replaced(files, monkeypatch, command):
    monkeypatch.chdir(files)
    monkeypatch.setenv("COLUMNS", "300")
    before = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
    words = command.replace("{data}", " ".join(DATA)).split()
    done = CliRunner().invoke(main, words)
    assert done.exit_code == (2 if words[0] == "align" else 1), done.output
    assert "name another" in done.output
    assert {path: path.read_bytes() for path in files.rglob("*") if path.is_file()} == before


def test_options_that_are_not_paths_are_not_checked(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["detect", files / "m.pth", CAT, "--device", "cpu", "--json", "cpu", "--out", "cat"]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "cpu").read_text())


@pytest.mark.slow
def test_a_report_may_lie_in_the_folder_that_is_written(files, tmp_path):
    words = ["detect", files / "m.pth", CAT, "--out", tmp_path, "--json", tmp_path / "found.json"]
    for _ in range(2):
        assert CliRunner().invoke(main, list(map(str, words))).exit_code == 0


def test_two_names_that_differ_in_case_are_one(tmp_path):
    """On some systems; nobody wants both."""
    files = RunFiles()
    files.writes(tmp_path / "x.json")
    files.writes(tmp_path / "X.json")
    with pytest.raises(OutputError, match="name another file"):
        files.check_all()


def test_a_character_device_may_be_input_and_output(tmp_path):
    node = tmp_path / "null"
    try:
        os.mknod(node, 0o020666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no devices can be made here")
    files = RunFiles()
    (tmp_path / "too").symlink_to(node)
    files.reads(node)
    files.writes(node)
    files.writes(tmp_path / "too")
    files.check_all()


def test_reports_may_lie_among_images(tmp_path):
    (tmp_path / "x.json").touch()
    (tmp_path / "x.jp2").touch()
    files = RunFiles()
    files.reads(tmp_path, ignored_suffixes=RESULT_SUFFIXES)
    files.writes(tmp_path / "x.json")
    files.check_all()
    files.writes(tmp_path / "x.jp2")
    assert not files.is_distinct(tmp_path / "x.jp2")
