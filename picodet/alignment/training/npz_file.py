"""The file of a recorded training: an .npz of plain arrays, and an index as JSON among them.

The values of all tensors of a kind lie one behind the other; the index has their names and shapes.
Reading one runs no code. NumPy only.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from picodet.alignment.recording.index import sample_positions
from picodet.alignment.training.batch import Boxes, TrainingInput, checked
from picodet.alignment.training.recording import (
    MEASURES,
    TERMS,
    Known,
    Rates,
    Run,
    Taken,
    Tensors,
    TrainingRecording,
)
from picodet.errors import RecordingError
from picodet.files import replacing
from picodet.formats.npz_files import ArrayFileError, read_npz
from picodet.ops.anchor_points import grids

INDEX = "index"
FORMAT = 1
MAX_STEPS = 1000  # of one run, each of which we make as well
MAX_SIZE = 1 << 40  # values of a tensor of which there are samples
GROUPS = ("gradients", "statistics", "parameters", "momenta", "averages")  # fields of a Run
DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


def positions_of(size: int, samples: int) -> np.ndarray:
    """Of the values that are kept; samples: how many, 0 for all."""
    return sample_positions(size, samples) if samples else np.arange(size)


def is_training_recording(path: Path) -> bool:
    """Whether a file says that it is one; the rest is looked at when it is read."""
    return path.suffix == ".npz" and path.is_file()


def write(recording: TrainingRecording, samples: int, path: Path) -> None:
    """Whole or not at all. Raises OutputError where `path` cannot be written."""
    arrays: dict[str, np.ndarray] = {"images": recording.images}
    runs = []
    for i, run in enumerate(recording.runs):
        arrays |= {f"{i}/{name}": array for name, array in run.boxes._asdict().items()}
        if run.taken is not None:
            *places, quality = run.taken
            arrays[f"{i}/taken"] = np.stack(places)
            if quality is not None:
                arrays[f"{i}/quality"] = quality
        groups = {}
        for group in GROUPS:
            tensors: Tensors | None = getattr(run, group)
            if tensors is not None:
                arrays |= {f"{i}/{group}/{k}": array for k, array in _packed(tensors)}
                groups[group] = {name: known.shape for name, known in tensors.items()}
        losses = [dict(of_step) for of_step in run.losses]
        told = {"name": run.name, "epoch": run.epoch, "rate": run.rate, "losses": losses}
        runs.append({**told, "groups": groups})
    index = {
        "format": FORMAT,
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
    arrays[INDEX] = np.frombuffer(json.dumps(index, separators=(",", ":")).encode(), np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _packed(tensors: Tensors) -> Iterator[tuple[str, np.ndarray]]:
    yield "values", np.concatenate([known.values for known in tensors.values()])
    yield (
        "measures",
        np.array([[known.measures[m] for m in MEASURES] for known in tensors.values()]),
    )


def read(path: Path) -> TrainingRecording:
    """Raises RecordingError for a file that is none."""
    try:
        arrays = read_npz(path)
        index = json.loads(arrays[INDEX].tobytes())
    except (ArrayFileError, KeyError, ValueError, RecursionError) as error:
        raise RecordingError(
            f"{path}: not a readable recording of a training: {error}; "
            "picodet-align record --training makes one"
        ) from error
    try:
        return _recording(path, index, arrays)
    except DAMAGED as error:
        raise RecordingError(
            f"{path}: its index is damaged: {type(error).__name__} {error}. Record it again"
        ) from error


def _recording(
    path: Path, index: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> TrainingRecording:
    if index["format"] != FORMAT:
        raise ValueError(f"format {index['format']!r:.20}, this version reads {FORMAT}")
    precision, samples = index["precision"], int(index["samples"])
    if precision not in ("float32", "float64"):
        raise ValueError(f"precision {precision!r:.20}")
    if samples < 0:
        raise ValueError(f"{samples} samples")
    rates = None
    if "steps_per_epoch" in index:
        rates = Rates(int(index["steps_per_epoch"]), arrays["iterations"], arrays["rates"])
        _check_rates(rates)
    runs = tuple(_run(path, i, told, arrays, samples) for i, told in enumerate(list(index["runs"])))
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
        rates=rates,
    )


def _run(
    path: Path, i: int, told: Mapping[str, Any], arrays: Mapping[str, np.ndarray], samples: int
) -> Run:
    boxes = {name: arrays[f"{i}/{name}"] for name in Boxes._fields}
    fed = checked(path, {"images": arrays["images"], **boxes}, np.iinfo(np.int64).max)
    taken = None
    if f"{i}/taken" in arrays:
        taken = _taken(arrays[f"{i}/taken"], arrays.get(f"{i}/quality"), fed)
    groups = {
        str(group): _unpacked(shapes, samples, arrays, f"{i}/{group}")
        for group, shapes in told["groups"].items()
        if group in GROUPS
    }
    losses = tuple({term: float(step[term]) for term in TERMS} for step in told["losses"])
    if not 0 < len(losses) <= MAX_STEPS:
        raise ValueError(f"run {i} has {len(losses):,} steps; 1 to {MAX_STEPS} are expected")
    epoch, rate = int(told["epoch"]), float(told["rate"])
    if epoch < 0 or not 0 <= rate < math.inf:
        raise ValueError(f"run {i} of epoch {epoch!s:.20}, with a learning rate of {rate}")
    return Run(
        name=str(told["name"]),
        epoch=epoch,
        rate=rate,
        boxes=fed.boxes,
        losses=losses,
        taken=taken,
        **groups,
    )


def _check_rates(rates: Rates) -> None:
    iterations, values = rates.iterations, rates.rates
    if iterations.shape != values.shape or values.ndim != 1:
        raise ValueError(f"{iterations.shape} iterations, {values.shape} rates")
    if iterations.dtype.kind not in "iu" or values.dtype.kind != "f":
        raise ValueError(f"iterations of {iterations.dtype}, rates of {values.dtype}")
    if rates.steps_per_epoch < 1 or (iterations < 0).any():
        raise ValueError(f"{rates.steps_per_epoch} steps per epoch, or iterations below 0")


def _taken(places: np.ndarray, quality: np.ndarray | None, fed: TrainingInput) -> Taken:
    """Of places [3, n]; each is there, in a picture of the batch."""
    if places.ndim != 2 or len(places) != 3 or places.dtype.kind not in "iu":
        raise ValueError(f"cells that take a box of shape {list(places.shape)} and {places.dtype}")
    pictures, most = fed.boxes.valid.shape
    cells = sum(math.prod(grid) for grid in grids((fed.images.shape[2], fed.images.shape[3])))
    ends = np.array([pictures, cells, most])[:, None]
    if ((places < 0) | (places >= ends)).any():
        raise ValueError(f"a cell takes a box outside of {pictures} x {cells} x {most}")
    picture, cell, box = places.astype(np.int64)
    if not fed.boxes.valid[picture, box].all():
        raise ValueError("a cell takes a box that is not there")
    if quality is not None and (quality.shape != cell.shape or quality.dtype.kind != "f"):
        raise ValueError(f"{cell.shape} cells, {quality.shape} qualities of {quality.dtype}")
    return Taken(picture, cell, box, quality)


def _unpacked(
    shapes: Mapping[str, Any], samples: int, arrays: Mapping[str, np.ndarray], group: str
) -> Tensors:
    values, measures = arrays[f"{group}/values"], arrays[f"{group}/measures"]
    if measures.shape != (len(shapes), len(MEASURES)) or measures.dtype.kind != "f":
        raise ValueError(f"{group}: {len(shapes)} tensors, {measures.shape} measures")
    if values.ndim != 1 or values.dtype.kind != "f":
        raise ValueError(f"{group}: values of shape {list(values.shape)} and {values.dtype}")
    found: dict[str, Known] = {}
    start = 0
    for (name, shape), measured in zip(shapes.items(), measures.tolist(), strict=True):
        sides = tuple(int(side) for side in shape)
        size = math.prod(sides)
        end = start + (min(size, samples) if samples else size)
        if min(sides, default=0) < 0 or size > MAX_SIZE or end > len(values):
            raise ValueError(f"{group}: {name!s:.80} of shape {list(sides)!s:.80} is not all there")
        positions = positions_of(size, samples)
        named = dict(zip(MEASURES, measured, strict=True))
        found[str(name)] = Known(sides, positions, values[start:end], named)
        start = end
    if start != len(values):
        raise ValueError(f"{group}: {len(values)} values, {start} are expected")
    return found
