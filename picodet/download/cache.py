"""Where fetched files are kept, and what is written down about them on first use.

A file keeps its name, which tells a model's input size. It lies in a folder of its URL, with

    NAME.json        size and SHA-256 as they were on first use; what comes later has to agree
    NAME.part        what has come so far, when a transfer was broken off
    NAME.part.json   which file on the server that is the beginning of
    NAME.lock        held, by the operating system, while somebody fetches
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
from picodet.system.machine import locked

LOOK = 0.05  # seconds between two looks at a lock that somebody else holds


@dataclass(frozen=True)
class Record:
    """What was written down on first use."""

    url: str
    size: int
    sha256: str
    etag: str | None = None  # or Last-Modified; None where the server tells neither


@dataclass(frozen=True)
class Entry:
    """The place of one URL's file."""

    path: Path

    def beside(self, suffix: str) -> Path:
        """NAME and a suffix: `.json`, `.part`, `.part.json` or `.lock`."""
        return self.path.with_name(self.path.name + suffix)


def folder(platform: str = sys.platform) -> Path:
    """$PICODET_CACHE, or where this platform keeps what can be fetched again."""
    if named := os.environ.get("PICODET_CACHE"):
        return Path(named)
    try:
        if platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME", ""))
            if not base.is_absolute():  # as the standard wants it
                base = Path.home() / ".cache"
    except RuntimeError as error:
        raise OutputError("there is no home folder; PICODET_CACHE=FOLDER names a cache") from error
    return base / "picodet"


def place(url: str, cache: Path) -> Entry:
    """Where the file of a URL lies or will lie; two URLs never share a place."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    name = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[-100:].lstrip(".") or "file"
    return Entry(cache / hashlib.sha256(url.encode()).hexdigest()[:12] / name)


def read_record(entry: Entry) -> Record | None:
    """None before first use."""
    path = entry.beside(".json")
    try:
        record = Record(**json.loads(path.read_bytes()))
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


def read_cached(entry: Entry, url: str, pin: str | None) -> tuple[Record, bool] | None:
    """What is known of a file that is there, and whether for the first time; None without a file.

    A file that somebody put there has no record yet, and is taken as it is.
    """
    if not entry.path.exists():
        return None
    record = read_record(entry)
    try:
        found = Record(url, entry.path.stat().st_size, sha256(entry.path))
        fault = None if record else fault_of(entry.path)
    except OSError as error:
        raise FetchError(f"{entry.path}: cannot be read: {error.strerror}") from error
    if fault:
        raise FetchError(f"{entry.path}: {fault}; delete it or replace it by the file of {url}")
    if record and (found.size, found.sha256) != (record.size, record.sha256):
        raise FetchError(
            f"{entry.path}: {found.size:,} bytes with SHA-256 {found.sha256}; on first use it was "
            f"{record.size:,} bytes with {record.sha256}. It was damaged or replaced: delete it "
            f"to fetch it again, and {entry.path.name}.json too if the new one is what you want"
        )
    if pin and found.sha256 != pin.lower():
        raise FetchError(
            f"{entry.path}: its SHA-256 is {found.sha256}, not {pin.lower()} as it should be; "
            f"delete it and {entry.path.name}.json to fetch it again"
        )
    if record:
        return record, False
    write_record(entry, found)
    return found, True


def write_record(entry: Entry, record: Record) -> None:
    """For all later uses."""
    write_json(entry.beside(".json"), asdict(record))


def fault_of(path: Path) -> str | None:
    """What tells at first sight that a file holds no weights."""
    with path.open("rb") as file:
        start = file.read(200).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return "is empty"
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page, perhaps the log-in of a network or an error of a proxy"
    return None


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """What the disk refuses is an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}; "
            "PICODET_CACHE=FOLDER names another cache"
        ) from error


@contextmanager
def fetching_alone(entry: Entry, patience: float) -> Iterator[None]:
    """Makes the folder, and waits for whoever fetches the same file, for as long as it grows.

    The lock is the operating system's: it ends with the process that holds it, however that ends.
    """
    with on_disk(entry.path):
        entry.path.parent.mkdir(parents=True, exist_ok=True)
        file = entry.beside(".lock").open("ab")
    with file:
        size, since = -1, time.monotonic()
        while not _locked(file, entry.path):
            now, grown = time.monotonic(), _size(entry.beside(".part"))
            if grown != size:
                size, since = grown, now
            elif now - since > patience:
                raise FetchError(
                    f"{entry.path}: another process is fetching it, and has not gone on for "
                    f"{patience:g} s; end that process, or set PICODET_CACHE to another folder"
                )
            time.sleep(LOOK)
        yield


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # not begun, or just now complete
        return -1


def _locked(file: IO[bytes], path: Path) -> bool:
    with on_disk(path):
        return locked(file)
