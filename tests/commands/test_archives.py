"""Inference folders in tar archives: by an official name, by a URL, or as a file."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from pir_folders import write_folder
from small_models import V2, differing, model_of, written
from tar_files import archive, archive_of, entry
from web_site import Answer, serving

import picodet
from picodet.commands.convert import convert
from picodet.download import fetch as fetching
from picodet.zoo.official import BY_NAME

NAME = "PP-DocLayout-S"  # any name; the network is a small one


def run(*arguments):
    return CliRunner().invoke(convert, [str(argument) for argument in arguments])


def words(result):
    return " ".join(result.output.split())


@pytest.fixture
def content(tmp_path):
    """An archive as PaddleX publishes it."""
    folder = write_folder(model_of(V2), tmp_path / "folder")
    made = archive_of(folder, "small_infer")
    shutil.rmtree(folder)
    return made


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PICODET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path


def check(output):
    found = picodet.load(output)
    assert (found.config.input_size, found.config.classes) == (V2.input_size, V2.classes)
    assert not differing({n: t.numpy() for n, t in found.state_dict().items()}, V2)


def test_a_file(here, content):
    Path("small_infer.tar").write_bytes(content)
    for _ in range(2):
        result = run("small_infer.tar", "out.pth", "--overwrite")
        assert result.exit_code == 0, result.output
        check("out.pth")
    check_folders = [path.name for path in (here / "cache" / "unpacked").rglob("small_infer")]
    assert check_folders == ["small_infer", "small_infer"]
    check("small_infer.tar")  # picodet.load takes it too


def test_a_url(here, content):
    with serving(content) as site:
        url = site.url.replace("picodet_s_416_coco.pdparams", "small_infer.tar")
        for _ in range(2):
            result = run(url, "out.pth", "--overwrite")
            assert result.exit_code == 0, result.output
        assert len(site.requests) == 1
    check("out.pth")
    check(url)  # from the cache


@pytest.mark.usefixtures("here")
def test_a_url_of_a_checkpoint(tmp_path):
    source = written(V2, tmp_path / "source.pdparams")
    with serving(source.read_bytes()) as site:
        result = run(site.url, "out.pth", "--input-size", "96x128")
    assert result.exit_code == 0, result.output
    assert not differing(
        {n: t.numpy() for n, t in picodet.load("out.pth").state_dict().items()}, V2
    )


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "url"),
    [
        (NAME, BY_NAME[NAME].url),
        (f"{NAME}_infer", BY_NAME[NAME].folder_url),
        (
            "picodet_PPLCNet_x2_5_mainbody_lite_v1.0",
            BY_NAME["picodet_PPLCNet_x2_5_mainbody_lite_v1.0"].url,
        ),
    ],
)
def test_a_name_is_fetched_from_where_it_is_published(name, url, content, monkeypatch):
    fetched = []

    def fetch(url, progress):
        fetched.append(url)
        path = Path(url.rsplit("/", 1)[1])
        path.write_bytes(content)
        if path.suffix != ".tar":  # what it would be
            path.unlink()
            path = Path(shutil.copyfile(checkpoint, path))
        return fetching.FetchedFile(path, url, 2, "0" * 64, from_cache=False, first_use=True)

    checkpoint = written(V2, Path("checkpoint").absolute())
    monkeypatch.setattr(fetching, "fetch", fetch)
    result = run(name, "out.pth")
    assert result.exit_code == 0, result.output
    assert fetched == [url]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (archive(entry("../a", b"1")), "the name '../a'; expected one inside a folder"),
        (archive(entry("README.md", b"1")), "holds README.md; expected a .pdparams"),
        (b"\x1f\x8b" + bytes(600), "a compressed archive, whose weights are not read"),
    ],
)
def test_another_archive_is_an_error_and_writes_nothing(given, message):
    Path("x.tar").write_bytes(given)
    result = run("x.tar", "out.pth")
    assert result.exit_code == 1
    assert message in words(result)
    assert not Path("out.pth").exists()


@pytest.mark.usefixtures("here")
def test_a_url_that_answers_nothing_is_an_error():
    with serving(b"") as site:
        site.answers = [Answer(status=404)]
        result = run(site.url, "out.pth")
    assert result.exit_code == 1
    assert "the server answered HTTP 404" in words(result)


@pytest.mark.usefixtures("here")
def test_an_output_does_not_replace_the_archive(content):
    Path("small.tar").write_bytes(content)
    Path("out.pth").symlink_to("small.tar")
    result = run("small.tar", "out.pth", "--overwrite")
    assert result.exit_code == 1
    assert "also an input" in words(result)
    assert Path("small.tar").read_bytes() == content
