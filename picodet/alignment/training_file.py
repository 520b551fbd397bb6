"""The file of a recorded training: an .npz of plain arrays, and an index as JSON among them.

The values of all tensors of a kind lie one behind the other; the index has their names and shapes.
Reading one runs no code. NumPy only.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from picodet.alignment.index import sample_positions
from picodet.alignment.training_input import UNREADABLE, Boxes, checked
from picodet.alignment.training_recording import (
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
from picodet.input_files import regular

INDEX = "index"
FORMAT = 1
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
        with regular(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
            index = json.loads(arrays[INDEX].tobytes())
    except UNREADABLE as error:
        raise RecordingError(
            f"{path}: not a readable recording of a training: {type(error).__name__} {error}; "
            "picodet-align record --training makes one"
        ) from error
    except RecursionError as error:
        raise RecordingError(f"{path}: its index is nested too deeply") from error
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
        if rates.iterations.shape != rates.rates.shape or rates.rates.ndim != 1:
            raise ValueError(f"{rates.iterations.shape} iterations, {rates.rates.shape} rates")
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
        picture, cell, box = arrays[f"{i}/taken"].astype(np.int64)
        quality = arrays.get(f"{i}/quality")
        if quality is not None and quality.shape != cell.shape:
            raise ValueError(f"{cell.shape} cells, {quality.shape} qualities")
        taken = Taken(picture, cell, box, quality)
    groups = {
        str(group): _unpacked(shapes, samples, arrays, f"{i}/{group}")
        for group, shapes in told["groups"].items()
        if group in GROUPS
    }
    losses = tuple({term: float(step[term]) for term in TERMS} for step in told["losses"])
    if not losses:
        raise ValueError(f"run {i} has no step")
    return Run(
        name=str(told["name"]),
        epoch=int(told["epoch"]),
        rate=float(told["rate"]),
        boxes=fed.boxes,
        losses=losses,
        taken=taken,
        **groups,
    )


def _unpacked(
    shapes: Mapping[str, Any], samples: int, arrays: Mapping[str, np.ndarray], group: str
) -> Tensors:
    values, measures = arrays[f"{group}/values"], arrays[f"{group}/measures"]
    if measures.shape != (len(shapes), len(MEASURES)):
        raise ValueError(f"{group}: {len(shapes)} tensors, {measures.shape} measures")
    found: dict[str, Known] = {}
    start = 0
    for (name, shape), measured in zip(shapes.items(), measures.tolist(), strict=True):
        sides = tuple(int(side) for side in shape)
        positions = positions_of(int(np.prod(sides)), samples)
        end = start + len(positions)
        named = dict(zip(MEASURES, measured, strict=True))
        found[str(name)] = Known(sides, positions, values[start:end], named)
        start = end
    if start != len(values):
        raise ValueError(f"{group}: {len(values)} values, {start} are expected")
    return found
