"""Reads and writes the file of a recorded training: an .npz of arrays, with an index as JSON.

The values of all tensors of a group are concatenated; the index has their names and shapes.
Reading a file runs no code. NumPy only.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from picodet.alignment.recording.index import sample_positions
from picodet.alignment.training.batch import GroundTruth, TrainingBatch, check_batch
from picodet.alignment.training.recording import (
    MEASURES,
    TERMS,
    LearningRates,
    RecordedAssignment,
    TensorDigest,
    TensorDigests,
    TrainingRecording,
    TrainingRun,
)
from picodet.config import feature_map_sizes
from picodet.errors import RecordingError
from picodet.files import atomic_write
from picodet.formats.npz_files import ArrayFileError, read_npz

INDEX_KEY = "index"
FORMAT_VERSION = 1
MAX_STEPS = 1000  # of one run; picodet makes as many
MAX_VALUES = 1 << 40  # of a tensor that is stored as samples
TENSOR_GROUPS = ("gradients", "statistics", "parameters", "momenta", "averages")  # of TrainingRun
PARSE_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


def sample_indices(size: int, samples: int) -> np.ndarray:
    """Flat positions of the recorded values of a tensor; samples: how many, 0 for all."""
    return sample_positions(size, samples) if samples else np.arange(size)


def is_training_recording(path: Path) -> bool:
    """Whether a path is an .npz file; its content is checked by `read`."""
    return path.suffix == ".npz" and path.is_file()


def write(recording: TrainingRecording, samples: int, path: Path) -> None:
    """Write the complete file or none. Raises OutputError where `path` cannot be written.

    samples: values per tensor of the recording's digests, 0 for all.
    """
    arrays: dict[str, np.ndarray] = {"images": recording.images}
    runs = []
    for i, run in enumerate(recording.runs):
        arrays |= {f"{i}/{name}": array for name, array in run.boxes._asdict().items()}
        if run.assignment is not None:
            *indices, quality = run.assignment
            arrays[f"{i}/taken"] = np.stack(indices)
            if quality is not None:
                arrays[f"{i}/quality"] = quality
        groups = {}
        for group in TENSOR_GROUPS:
            tensors: TensorDigests | None = getattr(run, group)
            if tensors is not None:
                arrays |= {f"{i}/{group}/{k}": array for k, array in _pack(tensors)}
                groups[group] = {name: digest.shape for name, digest in tensors.items()}
        losses = [dict(step) for step in run.losses]
        entry = {"name": run.name, "epoch": run.epoch, "rate": run.lr, "losses": losses}
        runs.append({**entry, "groups": groups})
    index = {
        "format": FORMAT_VERSION,
        "file": recording.file,
        "sha256": recording.sha256,
        "versions": dict(recording.versions),
        "precision": recording.precision,
        "samples": samples,
        "weights": dict(recording.weights),
        "runs": runs,
    }
    if recording.rates is not None:
        index["steps_per_epoch"] = recording.rates.steps_per_epoch
        arrays |= {"iterations": recording.rates.iterations, "rates": recording.rates.rates}
    arrays[INDEX_KEY] = np.frombuffer(json.dumps(index, separators=(",", ":")).encode(), np.uint8)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _pack(tensors: TensorDigests) -> Iterator[tuple[str, np.ndarray]]:
    yield "values", np.concatenate([digest.values for digest in tensors.values()])
    yield (
        "measures",
        np.array([[digest.measures[m] for m in MEASURES] for digest in tensors.values()]),
    )


def read(path: Path) -> TrainingRecording:
    """Read what `write` wrote. Raises RecordingError for another or a damaged file."""
    try:
        arrays = read_npz(path)
        index = json.loads(arrays[INDEX_KEY].tobytes())
    except (ArrayFileError, KeyError, ValueError, RecursionError) as error:
        raise RecordingError(
            f"{path}: not a readable recording of a training: {error}; make one with "
            "picodet-align record --training"
        ) from error
    try:
        return _parse_recording(path, index, arrays)
    except PARSE_ERRORS as error:
        raise RecordingError(
            f"{path}: the index is damaged: {type(error).__name__} {error}; record it again"
        ) from error


def _parse_recording(
    path: Path, index: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> TrainingRecording:
    if index["format"] != FORMAT_VERSION:
        raise ValueError(
            f"format version {index['format']!r:.20}; this picodet reads {FORMAT_VERSION}"
        )
    precision, samples = index["precision"], int(index["samples"])
    if precision not in ("float32", "float64"):
        raise ValueError(f"precision {precision!r:.20}")
    if samples < 0:
        raise ValueError(f"{samples} samples")
    learning_rates = None
    if "steps_per_epoch" in index:
        learning_rates = LearningRates(
            int(index["steps_per_epoch"]), arrays["iterations"], arrays["rates"]
        )
        _check_learning_rates(learning_rates)
    runs = tuple(
        _parse_run(path, i, entry, arrays, samples) for i, entry in enumerate(list(index["runs"]))
    )
    if not runs:
        raise ValueError("no run")
    return TrainingRecording(
        file=str(index["file"]),
        sha256=str(index["sha256"]),
        versions={str(k): str(v) for k, v in index["versions"].items()},
        precision=precision,
        weights={str(k): str(v) for k, v in index["weights"].items()},
        images=arrays["images"],
        runs=runs,
        rates=learning_rates,
    )


def _parse_run(
    path: Path, i: int, entry: Mapping[str, Any], arrays: Mapping[str, np.ndarray], samples: int
) -> TrainingRun:
    boxes = {name: arrays[f"{i}/{name}"] for name in GroundTruth._fields}
    batch = check_batch(path, {"images": arrays["images"], **boxes}, np.iinfo(np.int64).max)
    assignment = None
    if f"{i}/taken" in arrays:
        assignment = _parse_assignment(arrays[f"{i}/taken"], arrays.get(f"{i}/quality"), batch)
    groups = {
        str(group): _unpack(shapes, samples, arrays, f"{i}/{group}")
        for group, shapes in entry["groups"].items()
        if group in TENSOR_GROUPS
    }
    losses = tuple({term: float(step[term]) for term in TERMS} for step in entry["losses"])
    if not 0 < len(losses) <= MAX_STEPS:
        raise ValueError(f"run {i} has {len(losses):,} steps; expected 1 to {MAX_STEPS}")
    epoch, lr = int(entry["epoch"]), float(entry["rate"])
    if epoch < 0 or not 0 <= lr < math.inf:
        raise ValueError(
            f"run {i} has epoch {epoch!s:.20} and learning rate {lr}; expected 0 or more"
        )
    return TrainingRun(
        name=str(entry["name"]),
        epoch=epoch,
        lr=lr,
        boxes=batch.boxes,
        losses=losses,
        assignment=assignment,
        **groups,
    )


def _check_learning_rates(learning_rates: LearningRates) -> None:
    iterations, values = learning_rates.iterations, learning_rates.rates
    if iterations.shape != values.shape or values.ndim != 1:
        raise ValueError(f"iterations {list(iterations.shape)}, rates {list(values.shape)}")
    if iterations.dtype.kind not in "iu" or values.dtype.kind != "f":
        raise ValueError(f"iterations of {iterations.dtype}, rates of {values.dtype}")
    if learning_rates.steps_per_epoch < 1 or (iterations < 0).any():
        raise ValueError(f"{learning_rates.steps_per_epoch} steps per epoch, or iterations below 0")


def _parse_assignment(
    indices: np.ndarray, quality: np.ndarray | None, batch: TrainingBatch
) -> RecordedAssignment:
    """The assignment in `indices` [3, n] of image, anchor point and box, if all of them exist."""
    if indices.ndim != 2 or len(indices) != 3 or indices.dtype.kind not in "iu":
        raise ValueError(
            f"assignment {list(indices.shape)} {indices.dtype}; expected [3, n] integers"
        )
    num_images, max_boxes = batch.boxes.valid.shape
    num_anchors = sum(
        math.prod(grid)
        for grid in feature_map_sizes((batch.images.shape[2], batch.images.shape[3]))
    )
    ends = np.array([num_images, num_anchors, max_boxes])[:, None]
    if ((indices < 0) | (indices >= ends)).any():
        raise ValueError(
            f"an assignment outside of {num_images} images, {num_anchors} anchor points and "
            f"{max_boxes} boxes"
        )
    image, anchor, box = indices.astype(np.int64)
    if not batch.boxes.valid[image, box].all():
        raise ValueError("an anchor point is assigned to a box that its image does not have")
    if quality is not None and (quality.shape != anchor.shape or quality.dtype.kind != "f"):
        raise ValueError(
            f"qualities {list(quality.shape)} {quality.dtype}; expected {list(anchor.shape)} floats"
        )
    return RecordedAssignment(image, anchor, box, quality)


def _unpack(
    shapes: Mapping[str, Any], samples: int, arrays: Mapping[str, np.ndarray], group: str
) -> TensorDigests:
    values, measures = arrays[f"{group}/values"], arrays[f"{group}/measures"]
    if measures.shape != (len(shapes), len(MEASURES)) or measures.dtype.kind != "f":
        raise ValueError(
            f"{group}: measures {list(measures.shape)} {measures.dtype}; expected "
            f"[{len(shapes)}, {len(MEASURES)}] floats"
        )
    if values.ndim != 1 or values.dtype.kind != "f":
        raise ValueError(
            f"{group}: values {list(values.shape)} {values.dtype}; expected [n] floats"
        )
    found: dict[str, TensorDigest] = {}
    start = 0
    for (name, shape), row in zip(shapes.items(), measures.tolist(), strict=True):
        dims = tuple(int(dim) for dim in shape)
        size = math.prod(dims)
        end = start + (min(size, samples) if samples else size)
        if min(dims, default=0) < 0 or size > MAX_VALUES or end > len(values):
            raise ValueError(
                f"{group}: {name!s:.80} of shape {list(dims)!s:.80} is not stored completely"
            )
        positions = sample_indices(size, samples)
        by_measure = dict(zip(MEASURES, row, strict=True))
        found[str(name)] = TensorDigest(dims, positions, values[start:end], by_measure)
        start = end
    if start != len(values):
        raise ValueError(f"{group}: {len(values)} values; expected {start}")
    return found
