"""Models of Hugging Face's hub, from a local server."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_models import V2, differing, weights_of
from web_site import serving_folder

import picodet
from picodet import cli
from picodet.download import fetch as fetching
from picodet.download import hub
from picodet.errors import FetchError
from picodet.formats import huggingface_folder
from picodet.formats.meta import make_meta

NAME = "some-one/picodet-v2.0"
FILES = ["config.json", "preprocessor_config.json", "model.safetensors"]


@pytest.fixture
def repository(tmp_path):
    """The directory of a repository on the server."""
    folder = tmp_path / "site" / NAME / "resolve" / "main"
    folder.parent.mkdir(parents=True)
    huggingface_folder.write(folder, weights_of(V2), make_meta(V2, "detector", "x", "ab" * 32))
    return folder


@pytest.fixture
def requests(tmp_path, repository, monkeypatch):
    """The paths that the server is asked for; it is the hub, and the cache is empty."""
    monkeypatch.setattr(fetching, "BACKOFF", 0)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("PICODET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with serving_folder(tmp_path / "site") as (url, paths):
        monkeypatch.setenv("HF_ENDPOINT", url + "/")
        yield paths


def paths_of(*files):
    return [f"/{NAME}/resolve/main/{file}" for file in files]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("owner/name", "owner/name"),
        (Path("Owner_1/PicoDet-S.v2_x"), None),
        ("owner/picodet-2.0", "owner/picodet-2.0"),
        ("owner/model.pth", None),
        ("picodet_s_416_coco", None),
        ("a/b/c", None),
        ("/owner/name", None),
        ("../name", None),
        ("owner/..", None),
        ("owner/na me", None),
        ("owner/näme", None),
        ("owner/" + "n" * 97, None),
        ("https://host/owner/name", None),
    ],
)
def test_a_name_has_two_parts_and_no_suffix(source, name):
    assert hub.hub_name(source) == name


def test_what_is_here_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub.hub_name("runs/first") == "runs/first"
    Path("runs").mkdir()
    assert hub.hub_name("runs/first") is None
    Path("runs/first").mkdir()
    assert hub.hub_name("runs/first") is None


def test_is_fetched_once_and_used_offline(requests, monkeypatch):
    model = picodet.load(NAME)
    assert model.config == V2
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    assert differing(arrays, V2) == []
    assert requests == paths_of(*FILES)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert picodet.load(NAME).config == V2
    assert len(requests) == 3


def test_commands_take_a_name_too(requests, tmp_path):
    result = CliRunner().invoke(cli.main, ["convert", NAME, "out.pth"])
    assert result.exit_code == 0, result.output
    assert picodet.load("out.pth").config == V2
    assert len(requests) == 3


def test_a_path_wins(requests, repository):
    shutil.copytree(repository, NAME)
    assert picodet.load(NAME).config == V2
    assert requests == []


def test_offline_says_so(requests, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "true")
    with pytest.raises(
        FetchError, match=r"no such file or directory, and HF_HUB_OFFLINE is set.*; unset it"
    ):
        picodet.load(NAME)
    assert requests == []


def test_without_a_network_both_reasons_are_given(requests, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        FetchError, match=r"^some-one/picodet-v2\.0: there is no such file .*no answer: "
    ):
        picodet.load(NAME)


def test_an_endpoint_that_is_no_url_is_refused(requests, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(FetchError, match="not a URL to fetch from"):
        picodet.load(NAME)


def test_an_absent_repository_is_named(requests):
    with pytest.raises(
        FetchError, match=r"^some-one/else: there is no such file .* public repository .* HTTP 404"
    ):
        picodet.load("some-one/else")


@pytest.mark.parametrize("file", FILES[1:])
def test_a_missing_file_is_named(requests, repository, file):
    (repository / file).unlink()
    with pytest.raises(FetchError, match=f"main/{file}: the server answered HTTP 404"):
        picodet.load(NAME)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (json.dumps({"model_type": "detr"}), "'detr'"),
        ("{}", "None"),
        ("[1]", "None"),
        ("not JSON", "None"),
        ("[" * 100_000, "None"),
        ('{"model_type": "picodet"' + " " * 2_000_000 + "}", "None"),
    ],
)
def test_the_weights_of_another_model_are_not_fetched(requests, repository, text, found):
    (repository / "config.json").write_text(text)
    with pytest.raises(FetchError, match=f"states the model type {found}; expected 'picodet'"):
        picodet.load(NAME)
    assert requests == paths_of("config.json")
