"""A file from the web: fetched once, proven whole, used offline afterwards."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from picodet.download import cache as places
from picodet.download.cache import Entry, Record, on_disk
from picodet.download.http import BrokenError, Source, StaleError, WrongError, ask
from picodet.errors import FetchError
from picodet.files import sha256 as sha256_of
from picodet.files import write_json

ATTEMPTS = 3  # in a row that bring nothing new
PAUSE = 1.0  # seconds before the second attempt, twice as long before the third

Progress = Callable[[int, int], None]  # bytes so far, bytes of the whole file


@dataclass(frozen=True)
class Fetched:
    """A whole file, and how it came."""

    path: Path
    url: str
    size: int
    sha256: str
    from_cache: bool  # no connection was made
    first_use: bool  # nothing was known of it: size and SHA-256 are now written down


def _silent(done: int, total: int) -> None:
    """No progress is shown."""


def fetch(
    url: str,
    progress: Progress = _silent,
    cache: Path | None = None,
    timeout: float = 30,
    sha256: str | None = None,
) -> Fetched:
    """The file of a URL, from the cache if it is there, else from the web.

    timeout is in seconds, for the connection and for every read. What has come when a transfer
    breaks off is kept, and the next attempt goes on from there. A file is checked against
    `sha256`, and against what the cache wrote down on first use.
    """
    if not _is_address(url):
        raise FetchError(f"{url}: not an address to fetch from; expected http:// or https://")
    entry = places.place(url, cache or places.folder())
    if entry.beside(".json").exists() and (known := places.read_cached(entry, url, sha256)):
        return _fetched(entry, *known, from_cache=True)  # needs no lock, and writes nothing
    with places.fetching_alone(entry, patience=(ATTEMPTS + 1) * timeout):
        if known := places.read_cached(entry, url, sha256):  # by hand, or by whoever held the lock
            return _fetched(entry, *known, from_cache=True)
        try:
            source = _download(entry, url, progress, timeout)
            record, first_use = _accept(entry, url, source, sha256)
        except WrongError as wrong:
            raise FetchError(
                f"{url}: {wrong.came}; expected {wrong.expected}. Download it by hand and give "
                f"the file's path, or put it at {entry.path}"
            ) from wrong
        return _fetched(entry, record, first_use, from_cache=False)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # "http://["
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isascii()


def _fetched(entry: Entry, record: Record, first_use: bool, from_cache: bool) -> Fetched:
    return Fetched(entry.path, record.url, record.size, record.sha256, from_cache, first_use)


def _download(entry: Entry, url: str, progress: Progress, timeout: float) -> Source:
    """Until `.part` is complete. An attempt counts as failed if it gets no further than others."""
    furthest, failed = _begun(entry)[0], 0
    while True:
        try:
            return _go_on(entry, url, progress, timeout)
        except BrokenError as error:
            if isinstance(error, StaleError):
                _discard(entry)
            reached = _begun(entry)[0]
            failed = 0 if reached > furthest else failed + 1
            furthest = max(reached, furthest)
            if failed == ATTEMPTS:
                kept = f"; the {reached:,} bytes that came are kept" if reached else ""
                came = f"{error}, the last of {ATTEMPTS} attempts in vain{kept}"
                raise WrongError(came, "the whole file") from error
            time.sleep(PAUSE * 2 ** (failed - 1))


def _go_on(entry: Entry, url: str, progress: Progress, timeout: float) -> Source:
    """One attempt: ask for what is missing, and append it to `.part`."""
    part, (done, source) = entry.beside(".part"), _begun(entry)
    if source and done == source.size:
        return source
    with ask(url, done, source, timeout) as answer:
        if answer.start == 0:
            _discard(entry)
            write_json(entry.beside(".part.json"), asdict(answer.source))
        done, source = answer.start, answer.source
        with on_disk(part), part.open("ab") as file:
            progress(done, source.size)
            for block in answer.blocks():
                file.write(block)
                file.flush()
                done += len(block)
                progress(done, source.size)
            os.fsync(file.fileno())
    return source


def _begun(entry: Entry) -> tuple[int, Source | None]:
    """How much has come, and of what; nothing where it cannot be told from other versions."""
    try:
        source = Source(**json.loads(entry.beside(".part.json").read_bytes()))
        done = entry.beside(".part").stat().st_size
        return (done, source) if source.validator and done <= source.size else (0, None)
    except (OSError, TypeError, ValueError):
        return 0, None


def _discard(entry: Entry) -> None:
    with on_disk(entry.path):
        entry.beside(".part").unlink(missing_ok=True)
        entry.beside(".part.json").unlink(missing_ok=True)


def _accept(entry: Entry, url: str, source: Source, pin: str | None) -> tuple[Record, bool]:
    """Give a complete `.part` its name if it is what it should be; whether it is the first."""
    part, known = entry.beside(".part"), places.read_record(entry)
    record = Record(url, source.size, sha256_of(part), source.validator)
    came, expected = f"{record.size:,} bytes with SHA-256 {record.sha256} came", ""
    if fault := places.fault_of(part):
        came, expected = f"what came {fault}", "a file of weights"
    elif pin and record.sha256 != pin.lower():
        expected = f"SHA-256 {pin.lower()}"
    elif known and record.sha256 != known.sha256:
        expected = (
            f"{known.size:,} bytes with {known.sha256}, as on first use "
            f"(delete {entry.beside('.json')} if the new file is what you want)"
        )
    if expected:
        _discard(entry)
        raise WrongError(came, expected)
    if known is None:
        places.write_record(entry, record)  # first, so that a whole file always has one
    with on_disk(entry.path):
        part.replace(entry.path)
        entry.beside(".part.json").unlink(missing_ok=True)
    return known or record, known is None
