import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_site import CONTENT, SHA256, Answer, left_in, serving

from picodet.download import cache
from picodet.download import fetch as fetching
from picodet.download.fetch import fetch
from picodet.errors import FetchError


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(fetching, "BACKOFF", 0)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site():
    with serving(CONTENT) as site:
        yield site


def test_is_fetched_once_and_used_offline(site, tmp_path):
    steps = []
    first = fetch(site.url, lambda *step: steps.append(step), tmp_path)
    assert first.path.read_bytes() == CONTENT
    assert first.path.name == "picodet_s_416_coco.pdparams"
    assert (first.size, first.sha256) == (256_000, SHA256)
    assert (first.from_cache, first.first_use) == (False, True)
    assert (steps[0], steps[-1]) == ((0, 256_000), (256_000, 256_000))
    assert steps == sorted(steps)
    again = fetch(site.url, steps.append, tmp_path)
    assert (again.path, again.from_cache, again.first_use) == (first.path, True, False)
    assert site.requests == [None]
    assert left_in(tmp_path) == [first.path.name + suffix for suffix in ("", ".json", ".lock")]
    record = json.loads(Path(f"{first.path}.json").read_text())
    assert record == {"url": site.url, "size": 256_000, "sha256": SHA256, "etag": '"one"'}


def test_a_cut_transfer_goes_on_where_it_ended(site, tmp_path):
    site.answers = [Answer(cut=1000), Answer(cut=500)]
    assert fetch(site.url, cache=tmp_path).path.read_bytes() == CONTENT
    assert site.requests == [None, "bytes=1000-", "bytes=1500-"]


def test_and_does_so_in_the_next_run(site, tmp_path):
    site.answers = [Answer(cut=1000), *[Answer(cut=0)] * 3]
    with pytest.raises(FetchError, match=r"1,000 of 256,000 bytes.*1,000 bytes received are kept"):
        fetch(site.url, cache=tmp_path)
    assert not cache.cache_entry(site.url, tmp_path).path.exists()
    del site.requests[:]
    steps = []
    fetched = fetch(site.url, lambda *step: steps.append(step), tmp_path)
    assert fetched.path.read_bytes() == CONTENT
    assert (site.requests, steps[0]) == (["bytes=1000-"], (1000, 256_000))


def test_a_transfer_that_ended_before_its_last_step_asks_for_nothing(site, tmp_path):
    entry = cache.cache_entry(site.url, tmp_path)
    entry.path.parent.mkdir()
    entry.sibling(".part").write_bytes(CONTENT)
    entry.sibling(".part.json").write_text('{"size": 256000, "validator": "x"}')
    assert (fetch(site.url, cache=tmp_path).sha256, site.requests) == (SHA256, [])


def test_a_file_that_changed_meanwhile_starts_again(site, tmp_path):
    site.answers = [Answer(cut=1000), *[Answer(cut=0)] * 3]
    with pytest.raises(FetchError):
        fetch(site.url, cache=tmp_path)
    site.content, site.etag = CONTENT[::-1], '"two"'
    assert fetch(site.url, cache=tmp_path).path.read_bytes() == CONTENT[::-1]
    assert site.requests[-1] == "bytes=1000-"  # answered with the whole file


PART = {"Content-Range": "bytes 1000-255999/256000"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(416, body=b""),
        Answer(206, {"Content-Range": "bytes 900-255999/256000"}, CONTENT[900:]),
        Answer(206, {"Content-Range": "bytes 1000-255998/255999"}, CONTENT[1000:-1]),
        Answer(206, PART | {"ETag": '"two"'}, CONTENT[1000:]),
    ],
    ids=["416", "another place", "another size", "another version"],
)
def test_what_does_not_fit_to_the_beginning_starts_again(site, tmp_path, answer):
    site.answers = [Answer(cut=1000), answer]
    assert fetch(site.url, cache=tmp_path).path.read_bytes() == CONTENT
    assert site.requests == [None, "bytes=1000-", None]


@pytest.mark.parametrize("etag", [None, 'W/"one"'])
def test_without_a_sure_version_nothing_is_gone_on_with(site, tmp_path, etag):
    site.answers = [Answer(cut=1000, headers={"ETag": etag})]
    assert fetch(site.url, cache=tmp_path).path.read_bytes() == CONTENT
    assert site.requests == [None, None]


def test_the_date_of_change_is_a_version_too(site, tmp_path):
    site.etag = date = "Fri, 11 Mar 2022 08:00:00 GMT"
    site.answers = [Answer(cut=1000, headers={"ETag": None, "Last-Modified": date})]
    site.answers += [Answer(206, PART | site.answers[0].headers, CONTENT[1000:])]
    assert fetch(site.url, cache=tmp_path).path.read_bytes() == CONTENT
    assert site.requests == [None, "bytes=1000-"]


def test_a_server_that_never_gets_further_is_given_up(site, tmp_path):
    site.answers = [Answer(cut=1000, headers={"ETag": None})] * 9
    with pytest.raises(FetchError, match="last of 3 failed attempts"):
        fetch(site.url, cache=tmp_path)
    assert len(site.requests) == 3


@pytest.mark.parametrize("cut", [0, 70_000])
def test_a_server_that_falls_silent_is_given_up(site, tmp_path, cut):
    site.answers = [Answer(cut=cut, stall=True), *[Answer(cut=0, stall=True)] * 3]
    with pytest.raises(FetchError, match=r"no data for 0\.1 s"):
        fetch(site.url, cache=tmp_path, timeout=0.1)
    assert not cache.cache_entry(site.url, tmp_path).path.exists()


@pytest.mark.slow
def test_silence_for_a_while_costs_one_attempt(site, tmp_path):
    site.answers = [Answer(cut=70_000, stall=True)]
    assert fetch(site.url, cache=tmp_path, timeout=2).sha256 == SHA256
    assert site.requests == [None, "bytes=70000-"]


@settings(max_examples=25)
@given(
    content=st.binary(max_size=3000).map(lambda rest: b"\x80" + rest),  # as a pickle begins
    cuts=st.lists(st.tuples(st.integers(1, 800), st.booleans()), max_size=6),
)
def test_whatever_the_cuts_the_file_arrives_whole(content, cuts):
    with serving(content) as site, TemporaryDirectory() as folder:
        for cut, changed in cuts:  # a changed version is sent whole from its beginning
            site.answers.append(Answer(cut=cut, headers={"ETag": '"old"'} if changed else {}))
        try:
            fetched = fetch(site.url, cache=Path(folder))
        except FetchError:  # three in a row that got no further
            fetched = fetch(site.url, cache=Path(folder))
        assert fetched.path.read_bytes() == content
        assert fetched.sha256 == hashlib.sha256(content).hexdigest()
