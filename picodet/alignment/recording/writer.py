"""Writes a recording one tensor at a time; only the index stays in memory.

NumPy only, without the safetensors library, so it runs in any Paddle environment.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import TypedDict
from zlib import crc32

import numpy as np

from picodet.alignment.recording.index import (
    INDEX_KEY,
    SAFETENSORS_DTYPES,
    SAMPLES_KEY,
    Index,
    TensorInfo,
    content_key,
    sample_positions,
    to_json,
)
from picodet.alignment.recording.network_input import NetworkInput
from picodet.errors import OutputError, RecordingError
from picodet.files import atomic_write
from picodet.formats import safetensors_writer
from picodet.graphs.operators import TensorKey


class RecordingWriter:
    """Takes tensors one by one, then the index; writes the complete file or none.

    Use it in a `with` block; tensors are kept in an anonymous temporary file until `write`.
    """

    def __init__(self, samples: int) -> None:
        """samples: number of values to keep of each tensor; 0 keeps all."""
        self.samples = samples
        self.tensors: dict[TensorKey, TensorInfo] = {}
        self._data = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self._entries: dict[str, safetensors_writer.Entry] = {}
        self._checksums: dict[str, int] = {}
        self._sampled: dict[TensorKey, np.ndarray] = {}

    def __enter__(self) -> "RecordingWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()

    def add(self, array: np.ndarray, whole: bool = False) -> TensorKey:
        """Store a tensor, in a summary only its samples unless `whole`, and return its key.

        Raises RecordingError for a dtype that recordings do not have, OutputError for a full disk.
        """
        array = np.asarray(array, order="C")
        if array.dtype.name not in SAFETENSORS_DTYPES:
            raise RecordingError(
                f"a tensor of {array.dtype} cannot be recorded; expected "
                f"{', '.join(SAFETENSORS_DTYPES)}"
            )
        key = content_key(array)
        if key not in self.tensors:
            self.tensors[key] = _tensor_info(array)
        if not self.samples or whole:
            self._append(key, array)
        else:
            flat = array.ravel()
            values = flat[sample_positions(flat.size, self.samples)]
            self._sampled.setdefault(key, values.astype(np.float64))
        return key

    def _append(self, name: str, array: np.ndarray) -> None:
        if name in self._entries:
            return
        start = self._data.tell()
        try:
            self._data.write(array.data if array.size else b"")
        except OSError as error:
            raise OutputError(
                f"{tempfile.gettempdir()}: {error.strerror}; free space, or set TMPDIR to another "
                "folder"
            ) from error
        self._entries[name] = safetensors_writer.entry(array, start)
        self._checksums[name] = crc32(array.data)

    def write(self, path: Path, index: Index) -> None:
        """Write header and tensors. Raises OutputError where `path` cannot be written."""
        sampled = [self._sampled[key] for key in self.tensors if key not in self._entries]
        if sampled:
            self._append(SAMPLES_KEY, np.concatenate(sampled))
        metadata = {INDEX_KEY: json.dumps(to_json(index), separators=(",", ":"))}
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            file.write(safetensors_writer.header(self._entries, metadata, self._checksums))
            self._data.seek(0)
            shutil.copyfileobj(self._data, file, 1 << 20)


def _tensor_info(array: np.ndarray) -> TensorInfo:
    nan = inf = 0
    finite = array
    if array.dtype.kind == "f" and not np.isfinite(array.sum(dtype=np.float64)):
        nan, inf = int(np.isnan(array).sum()), int(np.isinf(array).sum())
        finite = array[np.isfinite(array)]
    if not finite.size:
        return TensorInfo(array.shape, array.dtype.name, 0, 0, 0, nan, inf)
    low, high, mean = finite.min(), finite.max(), finite.mean(dtype=np.float64)
    return TensorInfo(array.shape, array.dtype.name, float(low), float(high), float(mean), nan, inf)


class InputEntries(TypedDict):
    """The fields of index.Index that describe the network's input."""

    input: TensorKey
    image: TensorKey | None
    scale_factor: tuple[float, float]
    kernels: dict[str, str]


def input_entries(writer: RecordingWriter, network_input: NetworkInput) -> InputEntries:
    """Store the network's input and return the fields of the index that describe it.

    A summary stores only samples of the array if preprocessing reproduces it from the image on
    every machine, which is so where the kernels of the resize make no difference.
    """
    y, x = network_input.scale_factor.tolist()
    image_key = None
    if network_input.encoded_image is not None:
        image_key = writer.add(np.frombuffer(network_input.encoded_image, np.uint8), whole=True)
    array = writer.add(
        network_input.array, whole=image_key is None or not network_input.is_portable
    )
    return {
        "input": array,
        "image": image_key,
        "scale_factor": (y, x),
        "kernels": dict(network_input.kernels),
    }
