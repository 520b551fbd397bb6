import errno
import threading
from pathlib import Path

import pytest
from web_site import CONTENT, SHA256, left_in, serving

from picodet.download import cache
from picodet.download import fetch as fetching
from picodet.download.fetch import fetch
from picodet.errors import FetchError, OutputError


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving(CONTENT) as site:
        yield site


def test_equal_names_of_different_addresses_stay_apart(site, tmp_path):
    one = fetch(site.url, cache=tmp_path)
    site.content = b"another"
    two = fetch(site.url.replace("models", "other"), cache=tmp_path)
    assert (one.path.name, one.path.parent != two.path.parent) == (two.path.name, True)
    assert (one.path.read_bytes(), two.path.read_bytes()) == (CONTENT, b"another")


def test_a_known_sha256_is_checked(site, tmp_path):
    with pytest.raises(
        FetchError, match=f"SHA-256 {SHA256} were received; expected SHA-256 {'0' * 64}"
    ):
        fetch(site.url, cache=tmp_path, sha256="0" * 64)
    assert left_in(tmp_path) == ["picodet_s_416_coco.pdparams.lock"]
    assert fetch(site.url, cache=tmp_path, sha256=SHA256.upper()).first_use
    with pytest.raises(FetchError, match=f"its SHA-256 is {SHA256}; expected {'0' * 64}"):
        fetch(site.url, cache=tmp_path, sha256="0" * 64)


@pytest.mark.parametrize("damaged", [CONTENT[:-1], CONTENT[:-1] + b"x", b""])
def test_a_damaged_file_is_an_error_and_comes_again_when_deleted(site, tmp_path, damaged):
    path = fetch(site.url, cache=tmp_path).path
    path.write_bytes(damaged)
    with pytest.raises(FetchError, match=f"{path}: .*delete it to fetch it again"):
        fetch(site.url, cache=tmp_path)
    assert len(site.requests) == 1
    path.unlink()
    again = fetch(site.url, cache=tmp_path)
    assert (again.sha256, again.first_use, len(site.requests)) == (SHA256, False, 2)


def test_another_file_than_on_first_use_is_refused(site, tmp_path):
    path = fetch(site.url, cache=tmp_path).path
    path.unlink()
    site.content = CONTENT[::-1]
    with pytest.raises(FetchError, match=f"as on first use .delete {path}.json"):
        fetch(site.url, cache=tmp_path)
    assert not path.exists()
    Path(f"{path}.json").unlink()
    assert fetch(site.url, cache=tmp_path).first_use


def test_a_file_put_there_by_hand_is_taken(site, tmp_path):
    entry = cache.cache_entry(site.url, tmp_path)
    entry.path.parent.mkdir()
    entry.path.write_bytes(b"<html>")
    with pytest.raises(FetchError, match=r"\.pdparams: is a web page"):
        fetch(site.url, cache=tmp_path)
    entry.path.write_bytes(CONTENT)
    assert fetch(site.url, cache=tmp_path).first_use
    assert not fetch(site.url, cache=tmp_path).first_use
    assert not site.requests


@pytest.mark.parametrize("text", ["", "[]", '{"url": 1}', '{"url": "", "size": "1", "sha256": ""}'])
def test_a_damaged_record_is_an_error(site, tmp_path, text):
    path = fetch(site.url, cache=tmp_path).path
    Path(f"{path}.json").write_text(text)
    with pytest.raises(FetchError, match=r"\.json: not a record of size and SHA-256; delete it"):
        fetch(site.url, cache=tmp_path)


def test_a_full_disk_is_an_error_of_ours(site, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device; set PICODET_CACHE=FOLDER"):
        fetch(site.url, cache=tmp_path)
    assert not cache.cache_entry(site.url, tmp_path).path.exists()


def test_a_cache_that_cannot_be_made_is_an_error_of_ours(site, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        fetch(site.url, cache=tmp_path / "file")


def test_two_at_once_fetch_once(site, tmp_path):
    fetched = []
    threads = [
        threading.Thread(target=lambda: fetched.append(fetch(site.url, cache=tmp_path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [f.sha256 for f in fetched] == [SHA256] * 4
    assert sorted(f.from_cache for f in fetched) == [False, True, True, True]
    assert site.requests == [None]


def test_waiting_for_nothing_is_reported(site, tmp_path):
    entry = cache.cache_entry(site.url, tmp_path)
    with (
        cache.fetch_lock(entry, stall_timeout=1),
        pytest.raises(FetchError, match=r"another process is fetching it.* for 0\.2 s"),
    ):
        fetch(site.url, cache=tmp_path, timeout=0.05)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"PICODET_CACHE": "/here"}, "/here"),
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches/picodet"),
        ("linux", {"XDG_CACHE_HOME": "not/absolute"}, "/me/.cache/picodet"),
        ("linux", {}, "/me/.cache/picodet"),
        ("darwin", {}, "/me/Library/Caches/picodet"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/picodet"),
        ("win32", {}, "/me/AppData/Local/picodet"),
    ],
)
def test_where_the_cache_is(monkeypatch, platform, environment, expected):
    for name in ("PICODET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/me"} | environment).items():
        monkeypatch.setenv(name, value)
    assert cache.cache_folder(platform) == Path(expected)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.pdparams?x=1", "b.pdparams"),
        ("a/..", "file"),
        ("", "file"),
        ("%2e%2e%2fb", "b"),
        ("a%5c..%5cb", "_.._b"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_name_stays_in_its_folder(tmp_path, path, name):
    entry = cache.cache_entry(f"http://127.0.0.1/{path}", tmp_path)
    assert entry.path.parent.parent == tmp_path
    assert entry.path.name.endswith(name)
