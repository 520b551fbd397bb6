"""Reads lists of objects in a JSON file as NumPy columns; errors name the entry.

Checks run on whole columns, and entry by entry only to locate an error.
"""

import gzip
import io
import json
import reprlib
import zlib
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from picodet.errors import PicoDetError
from picodet.files import regular_file

MAX_NUMBER = 1e15  # results computed from such numbers stay finite
# of an id, positive or negative: beyond it float64, as which many programs read JSON's numbers and
# in which rows of detections are kept, skips integers
MAX_INTEGER = 2**53 - 1
AN_INTEGER = "an integer"
A_53_BIT_INTEGER = f"an integer from -{MAX_INTEGER} to {MAX_INTEGER} (of 53 bits)"
# of decompressed files: annotations shrink to a tenth, synthetic ones to a fiftieth
MAX_COMPRESSION_RATIO = 100
MIN_UNPACKED_LIMIT = 64_000_000  # bytes that any file may have
A_NUMBER = f"a number from {-MAX_NUMBER:.0e} to {MAX_NUMBER:.0e}"


def read_json(path: Path) -> Any:
    """The content of a JSON file, decompressed if its name ends in .gz.

    Raises PicoDetError if it cannot be read, or decompresses to more than is allowed above.
    """
    try:
        content = regular_file(path).read_bytes()
        if path.suffix == ".gz":
            content = _decompress(path, content)
        return json.loads(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise PicoDetError(f"{path}: cannot be unpacked: {error}") from error
    except OSError as error:
        raise PicoDetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PicoDetError(f"{path}: is not JSON: {error}") from error
    except MemoryError as error:
        raise PicoDetError(f"{path}: does not fit into memory") from error


def _decompress(path: Path, packed: bytes) -> bytes:
    allowed = max(MAX_COMPRESSION_RATIO * len(packed), MIN_UNPACKED_LIMIT)
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        content = file.read(allowed + 1)
    if len(content) > allowed:
        raise PicoDetError(
            f"{path}: unpacks to more than {allowed:,} bytes; {MAX_COMPRESSION_RATIO} times "
            f"its size, or {MIN_UNPACKED_LIMIT:,}, are allowed. If you trust it, unpack it first"
        )
    return content


class JsonColumns:
    """A list of objects, read column by column; all methods raise PicoDetError.

    location: the file and key of the list, for errors.
    """

    def __init__(self, rows: Any, location: str) -> None:
        if not isinstance(rows, list):
            raise PicoDetError(
                f"{location}: found {reprlib.repr(rows)}; expected a list of objects"
            )
        self._rows = rows
        self._location = location

    def integers(self, key: str) -> np.ndarray:
        """[N] int64, up to MAX_INTEGER."""
        values = self._values(key)
        too_large = (v for v in values if type(v) in (int, float) and abs(v) > MAX_INTEGER)
        expected = AN_INTEGER if next(too_large, None) is None else A_53_BIT_INTEGER
        return self._column(key, values, _integers, expected)

    def ids(self, key: str = "id") -> np.ndarray:
        """[N] int64, all different."""
        ids = self.integers(key)
        unique, first = np.unique(ids, return_index=True)
        if len(unique) < len(ids):
            duplicate = np.setdiff1d(np.arange(len(ids)), first)[0]
            raise PicoDetError(
                f"{self._location}[{duplicate}]: duplicate {key} {ids[duplicate]}; each entry "
                "needs its own"
            )
        return ids

    def ids_or_free(self, key: str = "id") -> np.ndarray:
        """[N] int64, all different; objects without the key get the smallest that are free."""
        missing = self._missing(key)
        if not missing.any():
            return self.ids(key)
        ids = np.empty(len(missing), np.int64)
        stated = JsonColumns([self._rows[i] for i in np.flatnonzero(~missing)], self._location)
        ids[~missing] = stated.ids(key)
        free = np.setdiff1d(np.arange(1, len(ids) + 1), ids[~missing])
        ids[missing] = free[: missing.sum()]
        return ids

    def numbers(self, key: str, otherwise: np.ndarray | None = None) -> np.ndarray:
        """[N] float64, up to MAX_NUMBER; `otherwise` [N] for objects without the key."""
        if otherwise is None:
            return self._column(key, self._values(key), _numbers, A_NUMBER)
        self._check_objects()
        pairs = zip(self._rows, otherwise.tolist(), strict=True)
        values = [row.get(key, default) for row, default in pairs]
        return self._column(key, values, _numbers, A_NUMBER)

    def boxes(self, key: str = "bbox") -> np.ndarray:
        """[N, 4] float64, up to MAX_NUMBER."""
        expected = f"a list of x, y, width and height, each {A_NUMBER},"
        return self._column(key, self._values(key), _boxes, expected)

    def flags(self, key: str) -> np.ndarray:
        """[N] bool; False if the key is missing."""
        self._check_objects()
        return self._column(key, [row.get(key, 0) for row in self._rows], _flags, "0 or 1")

    def count_missing(self, key: str) -> int:
        """The number of objects without this key."""
        return int(self._missing(key).sum())

    def _missing(self, key: str) -> np.ndarray:
        """[N] bool: whether an object lacks the key."""
        self._check_objects()
        return np.array([key not in row for row in self._rows], bool)

    def strings(self, key: str) -> list[str]:
        """[N] non-empty strings."""
        strings = self._values(key)
        for i, text in enumerate(strings):
            if not (isinstance(text, str) and text):
                raise PicoDetError(
                    f"{self._location}[{i}]: {key} is {reprlib.repr(text)}; a text is expected"
                )
        return strings

    def require(self, is_valid: np.ndarray, problem: Callable[[int], str]) -> None:
        """Raise PicoDetError with problem(i) for the first row i where is_valid [N] is False."""
        if not is_valid.all():
            first = int(np.argmin(is_valid))
            raise PicoDetError(f"{self._location}[{first}]: {problem(first)}")

    def _check_objects(self) -> None:
        for i, row in enumerate(self._rows):
            if not isinstance(row, dict):
                raise PicoDetError(
                    f"{self._location}[{i}] is {reprlib.repr(row)}; an object like "
                    '{"image_id": 1, ...} is expected'
                )

    def _values(self, key: str) -> list[Any]:
        try:
            return [row[key] for row in self._rows]
        except (KeyError, TypeError, IndexError):
            self._check_objects()
            i = next(i for i, row in enumerate(self._rows) if key not in row)
            found = ", ".join(map(str, self._rows[i])) or "nothing"
            raise PicoDetError(f"{self._location}[{i}] has no {key}; it has {found}") from None

    def _column(
        self,
        key: str,
        values: list[Any],
        convert: Callable[[Sequence[Any]], np.ndarray | None],
        expected: str,
    ) -> np.ndarray:
        column = convert(values)
        if column is None:
            i = next(i for i, value in enumerate(values) if convert([value]) is None)
            raise PicoDetError(
                f"{self._location}[{i}]: {key} is {reprlib.repr(values[i])}; {expected} is expected"
            )
        return column


def _numbers(values: Sequence[Any]) -> np.ndarray | None:
    if not set(map(type, values)) <= {int, float}:  # NumPy would accept strings and None, too
        return None
    try:
        column = np.array(values, np.float64)
    except OverflowError:
        return None
    return column if (abs(column) <= MAX_NUMBER).all() else None


def _integers(values: Sequence[Any]) -> np.ndarray | None:
    types = set(map(type, values))
    if types <= {int}:
        try:
            column = np.array(values, np.int64)
        except OverflowError:
            return None
        is_valid = (column >= -MAX_INTEGER) & (column <= MAX_INTEGER)
        return column if is_valid.all() else None
    if types <= {int, float} and all(float(value).is_integer() for value in values):  # 139.0
        return _integers([int(value) for value in values])
    return None


def _boxes(values: Sequence[Any]) -> np.ndarray | None:
    if not (set(map(type, values)) <= {list} and set(map(len, values)) <= {4}):
        return None
    column = _numbers(list(chain.from_iterable(values)))
    return None if column is None else column.reshape(-1, 4)


def _flags(values: Sequence[Any]) -> np.ndarray | None:
    if not (set(map(type, values)) <= {int, bool} and set(values) <= {0, 1}):
        return None
    return np.array(values, bool)
