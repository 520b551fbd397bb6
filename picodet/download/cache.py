"""The cache of downloaded files, with a record of each.

A file keeps its name, which has a model's input size, in a folder of its URL, with

    NAME.json        size and SHA-256 on first use, which are checked later
    NAME.part        the beginning of the file, after an interrupted download
    NAME.part.json   the version on the server of which that is the beginning
    NAME.lock        locked, by the operating system, while a process downloads
"""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote, urlsplit

from picodet.errors import FetchError, OutputError
from picodet.files import sha256, write_json
from picodet.system.machine import try_lock

POLL_INTERVAL = 0.05  # seconds between two attempts to get a lock


@dataclass(frozen=True)
class CacheRecord:
    """Size, SHA-256 and version of a file, recorded on first use."""

    url: str
    size: int
    sha256: str
    etag: str | None = None  # or Last-Modified; None if the server sent neither


@dataclass(frozen=True)
class CacheEntry:
    """Where one URL's file is cached."""

    path: Path

    def sibling(self, suffix: str) -> Path:
        """NAME and a suffix: `.json`, `.part`, `.part.json` or `.lock`."""
        return self.path.with_name(self.path.name + suffix)


def cache_folder(platform: str = sys.platform) -> Path:
    """$PICODET_CACHE, or the platform's cache folder. Raises OutputError without a home folder."""
    if named := os.environ.get("PICODET_CACHE"):
        return Path(named)
    try:
        if platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME", ""))
            if not base.is_absolute():  # as the XDG standard requires
                base = Path.home() / ".cache"
    except RuntimeError as error:
        raise OutputError("there is no home folder; set PICODET_CACHE=FOLDER") from error
    return base / "picodet"


def cache_entry(url: str, cache: Path) -> CacheEntry:
    """The cache entry of a URL; two URLs never share one."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    name = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[-100:].lstrip(".") or "file"
    return CacheEntry(cache / hashlib.sha256(url.encode()).hexdigest()[:12] / name)


def read_record(entry: CacheEntry) -> CacheRecord | None:
    """The record of a file; None before first use. Raises FetchError for a damaged record."""
    path = entry.sibling(".json")
    try:
        record = CacheRecord(**json.loads(path.read_bytes()))
        if not (isinstance(record.size, int) and isinstance(record.sha256, str)):
            raise TypeError
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError) as error:
        raise FetchError(
            f"{path}: not a record of size and SHA-256; delete it and {entry.path.name} "
            "to fetch the file as if for the first time"
        ) from error
    return record


def read_cached(
    entry: CacheEntry, url: str, expected_sha256: str | None
) -> tuple[CacheRecord, bool] | None:
    """The record of a cached file, and whether this is its first use; None without a file.

    A file that was put there by hand has no record yet, and is accepted. Raises FetchError where
    it differs from its record or from expected_sha256.
    """
    if not entry.path.exists():
        return None
    record = read_record(entry)
    try:
        found = CacheRecord(url, entry.path.stat().st_size, sha256(entry.path))
        problem = None if record else content_problem(entry.path)
    except OSError as error:
        raise FetchError(f"{entry.path}: cannot be read: {error.strerror}") from error
    if problem:
        raise FetchError(f"{entry.path}: {problem}; delete it or replace it by the file of {url}")
    if record and (found.size, found.sha256) != (record.size, record.sha256):
        raise FetchError(
            f"{entry.path}: {found.size:,} bytes with SHA-256 {found.sha256}; on first use it was "
            f"{record.size:,} bytes with {record.sha256}. It was damaged or replaced: delete it "
            f"to fetch it again, and {entry.path.name}.json too to accept the new one"
        )
    if expected_sha256 and found.sha256 != expected_sha256.lower():
        raise FetchError(
            f"{entry.path}: its SHA-256 is {found.sha256}; expected {expected_sha256.lower()}; "
            f"delete it and {entry.path.name}.json to fetch it again"
        )
    if record:
        return record, False
    write_record(entry, found)
    return found, True


def write_record(entry: CacheEntry, record: CacheRecord) -> None:
    """Write the record of a file on its first use."""
    write_json(entry.sibling(".json"), asdict(record))


def content_problem(path: Path) -> str | None:
    """The reason why a file obviously holds no weights; None if there is none."""
    with path.open("rb") as file:
        start = file.read(200).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return "is empty"
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page, perhaps the login page of a network or an error of a proxy"
    return None


@contextmanager
def raise_output_error(path: Path) -> Iterator[None]:
    """Context manager that turns an OSError into an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}; "
            "set PICODET_CACHE=FOLDER to another folder"
        ) from error


@contextmanager
def fetch_lock(entry: CacheEntry, stall_timeout: float) -> Iterator[None]:
    """Create the folder, lock the entry, and wait while another process downloads the same file.

    The operating system releases the lock with its process, however that ends. Raises FetchError
    where the other process's file has not grown for stall_timeout seconds.
    """
    with raise_output_error(entry.path):
        entry.path.parent.mkdir(parents=True, exist_ok=True)
        file = entry.sibling(".lock").open("ab")
    with file:
        size, since = -1, time.monotonic()
        while not _try_lock(file, entry.path):
            now, current_size = time.monotonic(), _size(entry.sibling(".part"))
            if current_size != size:
                size, since = current_size, now
            elif now - since > stall_timeout:
                raise FetchError(
                    f"{entry.path}: another process is fetching it, without progress for "
                    f"{stall_timeout:g} s; end that process, or set PICODET_CACHE to another folder"
                )
            time.sleep(POLL_INTERVAL)
        yield


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # not started, or just completed
        return -1


def _try_lock(file: IO[bytes], path: Path) -> bool:
    with raise_output_error(path):
        return try_lock(file)
