"""picodet-convert and picodet list as a user runs them: what they print, write and return."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from gated_image import PATIENCE
from tracing import seeded_checkpoint

import picodet
from picodet.commands import common
from picodet.commands import convert as cli_convert
from picodet.commands.convert import convert
from picodet.commands.list import list_models
from picodet.download import fetch as fetching
from picodet.formats import pdparams
from picodet.zoo.architectures import S
from picodet.zoo.official import OFFICIAL
from scripts.fixtures import seeded

SMALL = replace(S, classes=("a", "b", "c"), head_convs=1)
SOURCE = "picodet_s_128.pdparams"


@pytest.fixture(scope="module")
def checkpoint():
    return seeded_checkpoint(SMALL)


@pytest.fixture
def folder(tmp_path, monkeypatch, checkpoint):
    """A checkpoint and the names of its classes, in the working directory."""
    seeded.write(checkpoint, tmp_path / SOURCE)
    (tmp_path / "names.txt").write_text("cat\ndog\ncow\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, answer=None, what=convert):
    result = CliRunner().invoke(what, [str(argument) for argument in arguments], input=answer)
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit | None)
    return result


def words(result):
    return " ".join(result.output.split())


def test_tells_what_became_of_the_checkpoint(folder):
    result = run(SOURCE, "out.pth", "--classes", "names.txt", "--json", "report.json")
    assert result.exit_code == 0, result.output
    for line in (
        "picodet_s_128.pdparams (ppdet checkpoint)",
        "540: 536 mapped, 4 skipped",
        "head.p3_feat.scale_reg and 3 like it",
    ):
        assert line in result.output
    report = json.loads((folder / "report.json").read_text())
    assert (report["variant"], report["form"]) == ("picodet_s_128", "ppdet checkpoint")
    assert (report["classes"], report["tensors"], report["mapped"]) == (3, 540, 536)
    assert len(report["sha256"]) == 64
    assert report["skipped"][0]["name"] == "head.p3_feat.scale_reg"
    assert picodet.load("out.pth").config.classes == ("cat", "dog", "cow")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("out.safetensors", []),
        ("out.pth", ["--to", "picodet"]),
        ("out.pth", ["--to", "mmdet"]),
        ("out", ["--to", "huggingface"]),
        ("out", []),
    ],
)
def test_goes_there_and_comes_back_to_paddle(folder, checkpoint, output, options):
    assert run(SOURCE, output, *options).exit_code == 0
    result = run(output, "back.pdparams", "--to", "ppdet", "--json", "report.json")
    assert result.exit_code == 0, result.output
    assert "reconstructed" in result.output
    arrays = pdparams.read(folder / "back.pdparams")
    assert arrays.keys() == checkpoint.keys()
    changed = [n for n in arrays if arrays[n].tobytes() != checkpoint[n].tobytes()]
    assert len(changed) == 4
    assert all("scale_reg" in name for name in changed)
    assert len(json.loads((folder / "report.json").read_text())["reconstructed"]) == 4


def test_gathers_all_problems(folder, checkpoint):
    seeded.write(
        {n: a for n, a in checkpoint.items() if ".bias" not in n[:20]}, folder / "x.pdparams"
    )
    result = run("x.pdparams", "no.pth", "--json", "broken.json")
    assert result.exit_code == 1
    assert "head.head_cls0.bias and 3 like it" in result.output
    assert "nothing was written" in result.output
    assert not (folder / "no.pth").exists()
    assert len(json.loads((folder / "broken.json").read_text())["problems"]) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["names.txt", "x.pth"], 1, "not a .pdparams, but text that begins 'cat'"),
        (["absent", "x.pth"], 1, "there is no such file; expected a .pdparams"),
        (["absent.pdparams", "x.pth"], 1, "there is no such file"),
        ([SOURCE, "x.onnx"], 1, "the suffix must be one of .pth, .safetensors, .pdparams, or none"),
        ([SOURCE, SOURCE], 1, "also an input or another output; name another file"),
        ([SOURCE, SOURCE, "--overwrite"], 1, "name another file"),
        ([SOURCE, "no/x.pth"], 1, "there is no folder"),
        ([SOURCE, "x.pth", "--config", "picodet_m"], 1, "did you mean"),
        ([SOURCE, "x.pth", "--input-size", "4x4x4"], 2, "416, or 800x608"),
        ([SOURCE, "x.pth", "--input-size", "-416"], 2, "416, or 800x608"),
        ([SOURCE, "x.pth", "--input-size", "100"], 1, "multiples of 32"),
        ([SOURCE, "x.pth", "--classes", "absent"], 1, "cannot be read"),
        ([SOURCE, "x.pth", "--json", "no/x.json"], 1, "there is no folder"),
        ([SOURCE, "x.pth", "--json", SOURCE], 1, "name another file"),
        ([SOURCE, "x.pth", "--json", "x.pth"], 1, "name another file"),
        ([SOURCE, "x.pth", "--to", "ppdet"], 1, "--to ppdet needs .pdparams"),
        ([SOURCE, "x.pth", "--to", "onnx"], 2, "Invalid value for '--to'"),
        ([SOURCE, "x.pth", "--weight-set", "raw"], 1, "--weight-set raw needs it"),
        ([SOURCE, "x.pth", "--weight-set", "best"], 1, "expected one of ema, raw"),
        ([SOURCE], 2, "Missing argument 'OUTPUT'"),
    ],
)
def test_says_what_is_wrong(folder, arguments, code, message):
    result = run(*arguments)
    assert result.exit_code == code
    assert message in words(result)
    assert not [path for path in folder.iterdir() if path.name not in (SOURCE, "names.txt")]


def test_json_tells_machines_of_errors_too(folder):
    result = run("names.txt", "x.pth", "--json", "error.json")
    assert json.loads((folder / "error.json").read_text())["error"] in result.output


def test_ema_and_raw_weights(folder, checkpoint):
    seeded.write(checkpoint, folder / "picodet_s_128.pdema")
    shown = words(run(SOURCE, "ema.pth"))
    assert "note: the EMA weights were used; the raw ones are in picodet_s_128.pd" in shown
    result = run(SOURCE, "raw.pth", "--weight-set", "raw", "--json", "r.json")
    assert "note: the raw weights were used" in words(result)
    assert picodet.load("raw.pth").config.input_size == (128, 128)


class TestSize:
    """What the tensors do not determine is asked for on a terminal."""

    @pytest.fixture
    def nameless(self, folder):
        return (folder / SOURCE).rename(folder / "model.pdparams")

    @pytest.mark.usefixtures("nameless")
    def test_without_a_terminal_it_is_assumed_and_reported(self):
        shown = words(run("model.pdparams", "out.pth", answer="320\n"))
        assert "note: the input size 416 is assumed: neither the tensors nor" in shown
        assert picodet.load("out.pth").config.input_size == (416, 416)

    @pytest.mark.parametrize(
        ("answer", "size"),
        [("320\n", (320, 320)), ("\n", (416, 416)), ("tall\n96x64\n", (96, 64))],
    )
    def test_a_person_is_asked(self, answer, size):
        sizes = ((320, 320), (416, 416), (800, 608))

        @cli_convert.click.command()
        def ask():
            cli_convert.click.echo(cli_convert._ask_for_size(sizes))

        result = run(what=ask, answer=answer)
        assert str(size) in result.output
        assert "official models with these tensors have 320, 416, 800x608) [416]" in result.output

    @pytest.mark.slow
    @pytest.mark.usefixtures("nameless")
    def test_at_a_terminal(self):
        leader, follower = pty.openpty()
        common = [sys.executable, "-m", "picodet", "convert", "model.pdparams", "out.pth"]
        with subprocess.Popen(
            common, stdin=follower, stderr=follower, stdout=subprocess.PIPE
        ) as process:
            os.write(leader, b"320\n")
            process.communicate(timeout=PATIENCE)
        shown = os.read(leader, 10_000).decode()
        os.close(leader)
        os.close(follower)
        assert process.returncode == 0
        assert "Input size (official models with these tensors have 320, 416, 192) [416]" in shown
        assert picodet.load("out.pth").config.input_size == (320, 320)


class TestOfficialNames:
    @pytest.fixture
    def fetched(self, monkeypatch, folder):
        """The URLs that were asked for; each is the checkpoint."""
        urls = []

        def fetch(url, progress):
            urls.append(url)
            progress(1, 2)
            path = folder / url.rsplit("/", 1)[1]
            (folder / SOURCE).rename(path)
            return fetching.FetchedFile(path, url, 2, "0" * 64, from_cache=False, first_use=True)

        monkeypatch.setattr(fetching, "fetch", fetch)
        return urls

    def test_a_name_is_fetched_from_where_it_is_published(self, folder, fetched, checkpoint):
        full = replace(S, head_convs=2)
        seeded.write(seeded_checkpoint(full), folder / SOURCE)
        result = run("picodet_s_320_coco", "out.pth", "--json", "r.json")
        assert result.exit_code == 0, result.output
        assert fetched == ["https://paddledet.bj.bcebos.com/models/picodet_s_320_coco.pdparams"]
        assert picodet.load("out.pth").config.name == "picodet_s_320_coco"

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("picodet_s_416_cocoo", "did you mean picodet_s_416_coco"),
            ("picodet_s_320_voc", "publishes no weights of this config; give a file"),
            ("unknown", "there is no such file"),
            ("models/picodet_s_416_coco", "no such file or directory, and HF_HUB_OFFLINE"),
            ("picodet_s_416_coco.pdparams", "there is no such file"),
        ],
    )
    @pytest.mark.usefixtures("folder")
    def test_what_is_none_is_not_fetched(self, fetched, name, message):
        result = run(name, "out.pth")
        assert (result.exit_code, fetched) == (1, [])
        assert message in words(result)

    def test_a_folder_of_that_name_is_the_folder(self, folder, fetched):
        (folder / "picodet_s_416_coco").mkdir()
        (folder / SOURCE).rename(folder / "picodet_s_416_coco" / "model_final.pdparams")
        assert run("picodet_s_416_coco", "out.pth").exit_code == 0
        assert fetched == []
        assert picodet.load("out.pth").config.input_size == (416, 416)


class TestList:
    @pytest.mark.slow
    def test_shows_every_official_model(self):
        result = run(what=list_models)
        assert result.exit_code == 0
        for official in OFFICIAL:
            (line,) = (x for x in result.output.splitlines() if f" {official.config.name} " in x)
            assert (official.url or "none published") in line
        assert "[1] 29.0 " in result.output
        assert "[1]: mAP 0.5:0.95 in percent on the persons of COCO val2017" in result.output

    @pytest.mark.slow
    @pytest.mark.usefixtures("folder")
    def test_for_machines(self):
        assert run("--json", "list.json", what=list_models).exit_code == 0
        found = json.loads(Path("list.json").read_text())
        assert len(found) == 58
        assert found[0] == {
            "name": "picodet_xs_320_coco_lcnet",
            "group": "PaddleDetection 2022",
            "input_size": [320, 320],
            "num_classes": 80,
            "parameters": 704_254,
            "ap": 23.5,
            "metric": "mAP 0.5:0.95",
            "measured_on": "COCO val2017",
            "url": "https://paddledet.bj.bcebos.com/models/picodet_xs_320_coco_lcnet.pdparams",
            "folder_url": None,
            "config": "configs/picodet/picodet_xs_320_coco_lcnet.yml",
        }


def test_a_path_that_exists_is_no_official_name(folder):
    (folder / "picodet_s_416_coco").touch()
    assert common.fetch_official(folder / "picodet_s_416_coco") == folder / "picodet_s_416_coco"
