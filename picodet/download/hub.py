"""Fetches a model from Hugging Face's hub, or from a server with the same addresses.

Only data are fetched: the directory's Python file is for transformers, and stays on the server.
"""

import json
import os
import re
from pathlib import Path

from picodet.download import cache as places
from picodet.download.cache import CacheEntry
from picodet.download.fetch import Progress, fetch, no_progress
from picodet.errors import FetchError
from picodet.files import read_bytes

ENDPOINT = "https://huggingface.co"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
FILES = (CONFIG, "preprocessor_config.json", WEIGHTS)  # small ones first
MODEL_TYPE = "picodet"
MAX_CONFIG_BYTES = 2_000_000
PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}"
FILE_SUFFIX = r"\.[A-Za-z][A-Za-z0-9_]*"  # "v2.0" is no suffix of a file
TRUE = {"1", "ON", "TRUE", "YES"}  # as huggingface_hub reads its variables


def hub_name(source: str | os.PathLike[str]) -> str | None:
    """The `owner/name` of a repository if source is one; None for a path.

    A path is what exists here, what begins with a folder that does, and what ends as a file does.
    """
    path = Path(source)
    name = path.as_posix()
    if not re.fullmatch(f"{PART}/{PART}", name) or re.search(f"{FILE_SUFFIX}$", name):
        return None
    return None if path.exists() or path.parent.exists() else name


def fetch_model(
    name: str, progress: Progress = no_progress, cache: Path | None = None, timeout: float = 30
) -> Path:
    """The directory of a repository's files in the cache, fetched where they are not there yet.

    name: owner/name. The server is $HF_ENDPOINT, by default the hub; with $HF_HUB_OFFLINE only the
    cache is used. A file is checked as `fetch` does it, and stays as it was first fetched. Raises
    FetchError where a file cannot be had, and for a repository of another kind of model, whose
    weights are not fetched; OutputError where the cache cannot be written.
    """
    base = f"{os.environ.get('HF_ENDPOINT', '').rstrip('/') or ENDPOINT}/{name}"
    folder = places.cache_entry(base, cache or places.cache_folder()).path
    is_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE
    for file in FILES:
        entry = CacheEntry(folder / file)
        if is_offline and not entry.path.exists():
            raise FetchError(
                f"{name}: there is no such file or directory, and HF_HUB_OFFLINE is set, so that "
                f"{file} is not fetched from {base}; unset it, or give the path of a directory"
            )
        try:
            fetch(
                f"{base}/resolve/main/{file}",
                progress if file == WEIGHTS else no_progress,
                timeout=timeout,
                entry=entry,
            )
        except FetchError as error:
            raise FetchError(
                f"{name}: there is no such file or directory, and it cannot be fetched as a public "
                f"repository of the hub: {error}"
            ) from error
        if file == CONFIG:
            _check_model_type(entry.path, name)
    return folder


def _check_model_type(path: Path, name: str) -> None:
    try:
        found = json.loads(read_bytes(path, MAX_CONFIG_BYTES))["model_type"]
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        found = None
    if found != MODEL_TYPE:
        raise FetchError(
            f"{name}: its {CONFIG} states the model type {found!r:.40}; expected {MODEL_TYPE!r}: a "
            "repository with a directory that picodet-convert has written"
        )
