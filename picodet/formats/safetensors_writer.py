"""`.safetensors` files of our own: the same bytes whenever they are written, and checksums in them.

Beside the tensors stands, in the header's metadata, the CRC-32 of each tensor's bytes, and one of
the rest of the header. A reader holds them against what it finds. Files without are read as well:
other programs write none. NumPy only, and no safetensors library: it runs where Paddle is.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

import numpy as np

CHECKSUMS = "picodet_crc32"  # in the metadata: JSON, the name of a tensor -> its checksum
HEADER_NAME = ""  # the name that the checksum of the header goes by
METADATA = "__metadata__"
DTYPES = {  # NumPy's names -> the format's
    **{"float64": "F64", "float32": "F32", "float16": "F16"},
    **{"int64": "I64", "int32": "I32", "uint8": "U8"},
}

Entry = dict[str, Any]  # what the header says of a tensor


def write(file: BinaryIO, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Arrays by name, aligned to their own width as the format wants them.

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
    """What a header says of a tensor whose bytes begin at `start`. Raises ValueError."""
    if array.dtype.name not in DTYPES:
        raise ValueError(f"a tensor of {array.dtype}; {', '.join(DTYPES)} can be written")
    return {
        "dtype": DTYPES[array.dtype.name],
        "shape": list(array.shape),
        "data_offsets": [start, start + array.nbytes],
    }


def header(
    entries: Mapping[str, Entry], metadata: Mapping[str, str], checksums: Mapping[str, int]
) -> bytes:
    """The beginning of a file, up to the tensors; sums: crc32 of each one's bytes."""
    content = {METADATA: dict(metadata), **entries}
    checked = json.dumps(
        {**checksums, HEADER_NAME: _header_checksum(content)}, separators=(",", ":")
    )
    content[METADATA] = {**metadata, CHECKSUMS: checked}
    written = json.dumps(content, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written


class Checksums:
    """Those of one file; of a file that has none everything is taken as it is."""

    def __init__(self, path: Path) -> None:
        """Of a file whose header a safetensors library has found to be whole.

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
        """Raise ValueError where a tensor is not the one that was written."""
        if self._checksums is not None and self._checksums.get(name) != crc32(
            np.asarray(array, order="C").data
        ):
            raise ValueError(f"the checksum of {name!r:.80} in it is wrong")


def _little_endian(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _header_checksum(content: Mapping[str, Any]) -> int:
    """However the JSON is spelled."""
    return crc32(json.dumps(content, sort_keys=True).encode())
