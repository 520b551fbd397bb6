"""Reads a recording: what a reference computed from one input, step by step.

A recording is one `.safetensors` file. Its header holds the index as JSON: every call of a layer,
or every operator of a static graph, with the keys of its inputs and outputs; the weights; the
preprocessing steps; the outputs. Tensors are stored under keys that are hashes of their content,
so equal tensors are stored once. Reading a recording runs no code.

A summary has the whole index, with the statistics of every tensor, but only samples of the
values. Recordings are made by writer.py, also where there is no torch.
"""

import json
import math
from pathlib import Path
from types import TracebackType

import numpy as np
from safetensors import SafetensorError, safe_open

from picodet.alignment.recording.index import (
    INDEX_KEY,
    SAFETENSORS_DTYPES,
    SAMPLES_KEY,
    from_json,
    sample_positions,
)
from picodet.alignment.recording.index_check import check_index
from picodet.errors import RecordingError
from picodet.files import regular_file
from picodet.formats.safetensors_writer import Checksums
from picodet.graphs.operators import TensorKey


def is_recording(path: Path) -> bool:
    """Whether the file's header has an index; the rest is checked by `Recording`."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, "np") as file:
            return INDEX_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


class Recording:
    """An open recording, which reads tensors on demand. A `with` block closes its file."""

    def __init__(self, path: Path) -> None:
        """Open a file and check its index. Raises RecordingError if it is not a recording."""
        self.path = path
        try:
            self._file = safe_open(regular_file(path), "np")
            header = (self._file.metadata() or {}).get(INDEX_KEY)
            content = json.loads(header) if header is not None else None
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            raise RecordingError(f"{path}: not a readable recording: {error}") from error
        if content is None:
            raise RecordingError(
                f"{path}: a .safetensors file, but not a recording; make one with picodet-align "
                "record"
            )
        self._names = frozenset(self._file.keys())
        try:
            self._checksums = Checksums(path)
            self.index = from_json(content)
            self._check()
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise RecordingError(
                f"{path}: the index is damaged: {type(error).__name__} {error}; record it again"
            ) from error

    def __enter__(self) -> "Recording":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, traceback)

    def has(self, key: TensorKey) -> bool:
        """Whether all values of a tensor are stored, not just samples."""
        return key in self._names

    def tensor(self, key: TensorKey) -> np.ndarray:
        """All values of a tensor. Raises RecordingError if only samples are stored, or for damage.

        Every call reads the file.
        """
        if not self.has(key):
            raise RecordingError(
                f"{self.path}: holds samples of this tensor only; record again without --summary"
            )
        array: np.ndarray = self._file.get_tensor(key)
        try:
            self._checksums.check(key, array)
        except ValueError as error:
            raise RecordingError(f"{self.path}: damaged: {error}; record it again") from error
        return array

    def samples(self, key: TensorKey) -> tuple[np.ndarray, np.ndarray]:
        """Flat positions [n] of the stored values, and the values [n]: all of them, or samples."""
        if self.has(key):
            flat = self.tensor(key).ravel()
            return np.arange(flat.size), flat
        start, size = self._sampled[key]
        positions = sample_positions(size, self.index.samples)
        values: np.ndarray = self._samples[start : start + len(positions)]
        return positions, values

    def _check(self) -> None:
        """Check that every tensor of the index is stored with its shape and dtype, or sampled."""
        check_index(self.index)
        for key in (self.index.image, self.index.network_outputs.kept):
            if key is not None and not self.has(key):
                raise ValueError(
                    "the image or the output of the NMS is stored as samples; expected all values"
                )
        position = 0
        # start of a tensor's samples, and the tensor's size
        self._sampled: dict[TensorKey, tuple[int, int]] = {}
        for key, info in self.index.tensors.items():
            size = math.prod(info.shape)
            if self.has(key):
                found = self._file.get_slice(key).get_shape()
                if found != list(info.shape):
                    raise ValueError(f"tensor {key} has the shape {found}, not {list(info.shape)}")
                dtype = self._file.get_slice(key).get_dtype()
                if dtype != SAFETENSORS_DTYPES.get(info.dtype):
                    raise ValueError(f"tensor {key} is {dtype}, not {info.dtype}")
            elif self.index.samples:
                self._sampled[key] = position, size
                position += min(size, self.index.samples)
            else:
                raise ValueError(f"tensor {key} is missing")
        if self._sampled and SAMPLES_KEY not in self._names:
            raise ValueError("the samples are missing")
        self._samples = self.tensor(SAMPLES_KEY) if self._sampled else np.empty(0)
        if self._samples.shape != (position,):
            raise ValueError(f"samples {list(self._samples.shape)}; expected [{position}]")
