"""Writes reproducible `.safetensors` files with checksums.

The header's metadata holds the CRC-32 of each tensor's bytes and one of the rest of the header,
which the reader verifies. Files of other programs have no checksums and are read without. NumPy
only, without the safetensors library: this runs in Paddle's process.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

import numpy as np

CHECKSUMS = "picodet_crc32"  # in the metadata: JSON, tensor name -> checksum
HEADER_NAME = ""  # the key of the header's checksum
METADATA = "__metadata__"
DTYPES = {  # NumPy's names -> the format's
    **{"float64": "F64", "float32": "F32", "float16": "F16"},
    **{"int64": "I64", "int32": "I32", "uint8": "U8"},
}

Entry = dict[str, Any]  # of one tensor in the header


def write(file: BinaryIO, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays by name, sorted so that each is aligned to its item size.

    Raises ValueError for a dtype that is not among DTYPES.
    """
    entries: dict[str, Entry] = {}
    checksums: dict[str, int] = {}
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    end = 0
    for name in order:
        entries[name] = entry(arrays[name], end)
        checksums[name] = crc32(_little_endian(arrays[name]).data)
        end += arrays[name].nbytes
    file.write(header(entries, metadata, checksums))
    for name in order:
        file.write(_little_endian(arrays[name]).tobytes())


def entry(array: np.ndarray, start: int) -> Entry:
    """The header entry of a tensor whose bytes begin at `start`. Raises ValueError."""
    if array.dtype.name not in DTYPES:
        raise ValueError(f"a tensor of {array.dtype}; expected one of {', '.join(DTYPES)}")
    return {
        "dtype": DTYPES[array.dtype.name],
        "shape": list(array.shape),
        "data_offsets": [start, start + array.nbytes],
    }


def header(
    entries: Mapping[str, Entry], metadata: Mapping[str, str], checksums: Mapping[str, int]
) -> bytes:
    """The beginning of a file, up to the tensors; checksums: CRC-32 of each tensor's bytes."""
    content = {METADATA: dict(metadata), **entries}
    checked = json.dumps(
        {**checksums, HEADER_NAME: _header_checksum(content)}, separators=(",", ":")
    )
    content[METADATA] = {**metadata, CHECKSUMS: checked}
    written = json.dumps(content, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written


class Checksums:
    """The checksums of one file; a file without checksums always passes."""

    def __init__(self, path: Path) -> None:
        """Read them from a file whose header the safetensors library has accepted.

        Raises ValueError where the header itself has changed.
        """
        with path.open("rb") as file:
            content = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        found = (content.get(METADATA) or {}).pop(CHECKSUMS, None)
        self._checksums: Mapping[str, Any] | None = None
        if found is None:
            return
        self._checksums = json.loads(found)
        if not isinstance(self._checksums, dict) or self._checksums.get(
            HEADER_NAME
        ) != _header_checksum(content):
            raise ValueError("the checksum of its header is wrong")

    def check(self, name: str, array: np.ndarray) -> None:
        """Raise ValueError if a tensor is not the one that was written."""
        if self._checksums is not None and self._checksums.get(name) != crc32(
            np.asarray(array, order="C").data
        ):
            raise ValueError(f"the checksum of {name!r:.80} in it is wrong")


def _little_endian(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _header_checksum(content: Mapping[str, Any]) -> int:
    """CRC-32 of the header, independent of the formatting of the JSON."""
    return crc32(json.dumps(content, sort_keys=True).encode())
