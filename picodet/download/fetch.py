"""Downloads a file once, verifies it, and uses it offline afterwards."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from picodet.download import cache as places
from picodet.download.cache import CacheEntry, CacheRecord, raise_output_error
from picodet.download.http import (
    ChangedFileError,
    RemoteFile,
    RetryableError,
    UnexpectedResponseError,
    request,
)
from picodet.errors import FetchError
from picodet.files import sha256 as sha256_of
from picodet.files import write_json

ATTEMPTS = 3  # in a row without progress
BACKOFF = 1.0  # seconds before the second attempt, twice as long before the third

Progress = Callable[[int, int], None]  # bytes so far, bytes of the whole file


@dataclass(frozen=True)
class FetchedFile:
    """A complete file, and how it was obtained."""

    path: Path
    url: str
    size: int
    sha256: str
    from_cache: bool  # without a connection
    first_use: bool  # size and SHA-256 were recorded just now


def no_progress(done: int, total: int) -> None:
    """Show no progress."""


def fetch(
    url: str,
    progress: Progress = no_progress,
    cache: Path | None = None,
    timeout: float = 30,
    sha256: str | None = None,
    entry: CacheEntry | None = None,
) -> FetchedFile:
    """The file of a URL, from the cache if it is there, else from the web.

    timeout is in seconds, for the connection and for every read. An interrupted download is kept,
    and the next attempt resumes it. A file is checked against `sha256`, and against the record of
    its first use. It lies at `entry`, by default in a folder of its URL in `cache`. Raises
    FetchError where it cannot be had or differs, OutputError where the cache cannot be written.
    """
    if not _is_url(url):
        raise FetchError(f"{url}: not a URL to fetch from; expected http:// or https://")
    entry = entry or places.cache_entry(url, cache or places.cache_folder())
    if entry.sibling(".json").exists() and (known := places.read_cached(entry, url, sha256)):
        return _fetched(entry, *known, from_cache=True)  # without a lock, and without writing
    with places.fetch_lock(entry, stall_timeout=(ATTEMPTS + 1) * timeout):
        if known := places.read_cached(
            entry, url, sha256
        ):  # put there by hand, or by the process that held the lock
            return _fetched(entry, *known, from_cache=True)
        try:
            source = _download(entry, url, progress, timeout)
            record, first_use = _finish(entry, url, source, sha256)
        except UnexpectedResponseError as error:
            raise FetchError(
                f"{url}: {error.found}; expected {error.expected}. Download it by hand and give "
                f"the file's path, or put it at {entry.path}"
            ) from error
        return _fetched(entry, record, first_use, from_cache=False)


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # "http://["
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isascii()


def _fetched(
    entry: CacheEntry, record: CacheRecord, first_use: bool, from_cache: bool
) -> FetchedFile:
    return FetchedFile(entry.path, record.url, record.size, record.sha256, from_cache, first_use)


def _download(entry: CacheEntry, url: str, progress: Progress, timeout: float) -> RemoteFile:
    """Download until `.part` is complete; an attempt fails if it gets no further than others."""
    furthest, failed = _partial_download(entry)[0], 0
    while True:
        try:
            return _resume(entry, url, progress, timeout)
        except RetryableError as error:
            if isinstance(error, ChangedFileError):
                _discard(entry)
            reached = _partial_download(entry)[0]
            failed = 0 if reached > furthest else failed + 1
            furthest = max(reached, furthest)
            if failed == ATTEMPTS:
                kept = f"; the {reached:,} bytes received are kept" if reached else ""
                found = f"{error}, the last of {ATTEMPTS} failed attempts{kept}"
                raise UnexpectedResponseError(found, "the whole file") from error
            time.sleep(BACKOFF * 2 ** (failed - 1))


def _resume(entry: CacheEntry, url: str, progress: Progress, timeout: float) -> RemoteFile:
    """One attempt: request the missing bytes, and append them to `.part`."""
    part, (done, source) = entry.sibling(".part"), _partial_download(entry)
    if source and done == source.size:
        return source
    with request(url, done, source, timeout) as response:
        if response.start == 0:
            _discard(entry)
            write_json(entry.sibling(".part.json"), asdict(response.source))
        done, source = response.start, response.source
        with raise_output_error(part), part.open("ab") as file:
            progress(done, source.size)
            for block in response.blocks():
                file.write(block)
                file.flush()
                done += len(block)
                progress(done, source.size)
            os.fsync(file.fileno())
    return source


def _partial_download(entry: CacheEntry) -> tuple[int, RemoteFile | None]:
    """The bytes in `.part`, and the version of the file; (0, None) where that is unknown."""
    try:
        source = RemoteFile(**json.loads(entry.sibling(".part.json").read_bytes()))
        done = entry.sibling(".part").stat().st_size
        return (done, source) if source.validator and done <= source.size else (0, None)
    except (OSError, TypeError, ValueError):
        return 0, None


def _discard(entry: CacheEntry) -> None:
    with raise_output_error(entry.path):
        entry.sibling(".part").unlink(missing_ok=True)
        entry.sibling(".part.json").unlink(missing_ok=True)


def _finish(
    entry: CacheEntry, url: str, source: RemoteFile, expected_sha256: str | None
) -> tuple[CacheRecord, bool]:
    """Check a complete `.part` and rename it to the file; its record, and whether it is new."""
    part, known = entry.sibling(".part"), places.read_record(entry)
    record = CacheRecord(url, source.size, sha256_of(part), source.validator)
    found, expected = f"{record.size:,} bytes with SHA-256 {record.sha256} were received", ""
    if problem := places.content_problem(part):
        found, expected = f"the download {problem}", "a file of weights"
    elif expected_sha256 and record.sha256 != expected_sha256.lower():
        expected = f"SHA-256 {expected_sha256.lower()}"
    elif known and record.sha256 != known.sha256:
        expected = (
            f"{known.size:,} bytes with {known.sha256}, as on first use "
            f"(delete {entry.sibling('.json')} to accept the new file)"
        )
    if expected:
        _discard(entry)
        raise UnexpectedResponseError(found, expected)
    if known is None:
        places.write_record(entry, record)  # first, so that a complete file has one
    with raise_output_error(entry.path):
        part.replace(entry.path)
        entry.sibling(".part.json").unlink(missing_ok=True)
    return known or record, known is None
