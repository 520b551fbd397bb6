from contextlib import nullcontext
from urllib.request import OpenerDirector

import pytest
from web_site import CONTENT, SHA256, Answer, left_in, serving

from picodet.download import cache
from picodet.download import fetch as fetching
from picodet.download.fetch import fetch
from picodet.errors import FetchError

REST = {"Content-Range": "bytes 1000-255999/256000"}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(fetching, "BACKOFF", 0)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site():
    with serving(CONTENT) as site:
        yield site


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(404), "the server answered HTTP 404 Not Found; expected the file"),
        (Answer(403), "HTTP 403 Forbidden"),
        (
            Answer(headers={"Content-Type": "text/html; charset=utf-8"}),
            "the server sent a web page",
        ),
        (Answer(body=b"\n <!DOCTYPE html><p>log in"), "the download is a web page"),
        (Answer(body=b"<HTML>"), "the download is a web page"),
        (Answer(body=b"  \n"), "the download is empty"),
        (Answer(headers={"Content-Length": None}), "unknown size"),
        (Answer(headers={"Content-Length": "0"}, body=b""), "the server sent 0 bytes"),
        (Answer(headers={"Content-Length": "10000000000"}), "10,000,000,000 bytes; expected"),
        (Answer(headers={"Content-Encoding": "gzip"}), "the server sent gzip"),
        (Answer(206, {"Content-Range": "bytes 0-9/256000"}), "expected all missing bytes"),
        (Answer(302, {"Location": "file:///etc/passwd"}), "redirected to file:///etc/passwd"),
        (Answer(302, {"Location": "ftp://127.0.0.1/x"}), "redirected to ftp:"),
        (Answer(302, {"Location": "http://127.0.0.1:x/"}), "expected a URL"),
        (Answer(302), "redirected more than 5 times"),
    ],
    ids=str,
)
def test_a_wrong_answer_is_refused(site, tmp_path, answer, message):
    site.answers = [answer] * 6
    with pytest.raises(FetchError, match=message) as caught:
        fetch(site.url, cache=tmp_path)
    entry = cache.cache_entry(site.url, tmp_path)
    assert str(caught.value).startswith(f"{site.url}: ")
    assert str(caught.value).endswith(f"give the file's path, or put it at {entry.path}")
    assert left_in(tmp_path) == [entry.sibling(".lock").name]
    assert len(site.requests) == (6 if "5 times" in message else 1)


def test_a_server_in_trouble_is_asked_again(site, tmp_path):
    site.answers = [Answer(500), Answer(503)]
    assert fetch(site.url, cache=tmp_path).sha256 == SHA256
    site.answers = [Answer(500)] * 3
    with pytest.raises(FetchError, match="HTTP 500 Internal Server Error, the last of 3"):
        fetch(site.url + "2", cache=tmp_path)


def test_more_than_was_announced_is_not_read(site, tmp_path):
    site.answers = [Answer(headers={"Content-Length": "1000"})]
    assert fetch(site.url, cache=tmp_path).path.read_bytes() == CONTENT[:1000]
    site.answers = [Answer(cut=1000), Answer(206, REST, CONTENT)]
    assert fetch(site.url + "2", cache=tmp_path).size == 256_000


def test_a_redirection_is_followed(site, tmp_path):
    site.answers = [Answer(301, {"Location": "/elsewhere"}, b"moved")]
    fetched = fetch(site.url, cache=tmp_path)
    assert (fetched.url, fetched.sha256, fetched.path.name) == (site.url, SHA256, fetched.path.name)
    assert site.requests == [None, None]


def test_nor_is_one_from_https_to_http(tmp_path, monkeypatch):
    class Moved:
        status, headers = 302, {"Location": "http://127.0.0.1/"}

    monkeypatch.setattr(OpenerDirector, "open", lambda *_, **__: nullcontext(Moved))
    with pytest.raises(FetchError, match=r"to http://127\.0\.0\.1/; expected a redirection to"):
        fetch("https://127.0.0.1/x", cache=tmp_path)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "picodet", "http://", "http://[", "http://ü/"]
)
def test_what_is_no_address_is_refused(url, tmp_path):
    with pytest.raises(FetchError, match="not a URL"):
        fetch(url, cache=tmp_path)
    assert not left_in(tmp_path)


def test_a_server_that_is_not_there(tmp_path):
    with serving(b"") as site:
        pass
    with pytest.raises(FetchError, match=r"no answer: .*Connection refused"):
        fetch(site.url, cache=tmp_path, timeout=1)


def test_goes_through_a_proxy(site, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{site.server_port}")
    monkeypatch.setenv("no_proxy", "")
    assert fetch("http://models.invalid/x.pdparams", cache=tmp_path).sha256 == SHA256
    assert site.requests == [None]
