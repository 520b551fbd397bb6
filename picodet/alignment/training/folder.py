"""The folders of recordings that ../shared/reference/make_reference.py wrote; what is in them.

Not all have everything: the digests of gradients are always there, weights after three steps are
not. NumPy only.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from picodet.alignment.recording.index import content_key
from picodet.alignment.training.batch import Boxes
from picodet.alignment.training.recording import (
    Averaged,
    Known,
    Rates,
    Run,
    Taken,
    Tensors,
    Trace,
    TrainingRecording,
    known,
)
from picodet.errors import RecordingError
from picodet.files import sha256
from picodet.formats import pdparams
from picodet.formats.npz_files import ArrayFileError, read_npz
from picodet.formats.precision import as_float32

TAGS = {"train": "SimOTA", "train_atss": "ATSS", "train_tal": "task-aligned"}
ONE_EMPTY = "train_one_empty_image"  # in train_summary.json: losses, of the first picture's boxes
TERMS = {"loss_vfl": "varifocal", "loss_bbox": "boxes", "loss_dfl": "sides"}
MEASURES = {"l2": "norm", "sum": "sum", "absmax": "greatest"}
DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OSError, ArrayFileError)
Kind = Literal["threshold", "normal", "exponential"]
# of ema.json: what stands in the place of the config's kind and cycle
TRACES: Mapping[str, tuple[Kind | None, int | None]] = {
    "as_config": (None, None),
    "as_config_apply_every_2": (None, None),
    "cycle3_apply_every_2": (None, 3),
    "normal": ("normal", None),
    "exponential": ("exponential", None),
}


def is_folder(path: Path) -> bool:
    """Whether there is one."""
    return path.is_dir() and any((path / f"{tag}.npz").is_file() for tag in TAGS)


def read_folder(path: Path) -> TrainingRecording:
    """Raises RecordingError where a file is damaged, CheckpointError for the checkpoint."""
    checkpoint = path / f"{path.resolve().name}.pdparams"
    if not checkpoint.is_file():
        raise RecordingError(f"{path}: {checkpoint.name} is expected, which it was recorded with")
    weights = _tensors(checkpoint)
    try:
        arrays = {tag: read_npz(path / f"{tag}.npz") for tag in TAGS if _is(path / f"{tag}.npz")}
        runs = [_run(path, tag, of_tag) for tag, of_tag in arrays.items()]
        runs += list(_one_empty(path, runs))
        meta = json.loads((path / "meta.json").read_text())
        return TrainingRecording(
            file=checkpoint.name,
            sha256=sha256(checkpoint),
            versions={name: str(meta[name]) for name in ("paddle", "numpy", "cv2")},
            precision="float32",
            weights={name: content_key(array) for name, array in weights.items()},
            images=next(iter(arrays.values()))["input"],
            runs=tuple(runs),
            rates=_rates(path / "lr.npz"),
            traces=tuple(_traces(path / "ema.json")),
        )
    except DAMAGED as error:
        raise RecordingError(f"{path}: {type(error).__name__} {error}") from error


def _is(path: Path) -> bool:
    return path.is_file()


def _tensors(path: Path) -> dict[str, np.ndarray]:
    arrays = {name: as_float32(array) for name, array in pdparams.read(path).items()}
    return {name: array for name, array in arrays.items() if array is not None}


def _whole(tensors: Mapping[str, np.ndarray]) -> Tensors:
    return {name: known(array, np.arange(array.size)) for name, array in tensors.items()}


def _run(path: Path, tag: str, arrays: Mapping[str, np.ndarray]) -> Run:
    told = json.loads((path / f"{tag}_loss.json").read_text())
    after = path / f"{tag}_after{len(told['log'])}.pdparams"
    statistics = path / f"{tag}_bn_after1.npz"
    return Run(
        name=TAGS[tag],
        epoch=int(told["epoch_id"]),
        rate=float(told["lr"]),
        boxes=_boxes(arrays),
        losses=tuple(_terms(step) for step in told["log"]),
        taken=_taken(arrays, [int(n) for n in told["n_anchor_per_level"]]),
        gradients=_gradients(path / f"{tag}_grads.json"),
        statistics=_whole(read_npz(statistics)) if statistics.is_file() else None,
        parameters=_whole(_tensors(after)) if after.is_file() else None,
    )


def _one_empty(path: Path, runs: list[Run]) -> Iterator[Run]:
    summary = json.loads((path / "train_summary.json").read_text())
    if ONE_EMPTY in summary:
        first = np.arange(len(runs[0].boxes.valid))[:, None] == 0
        boxes, classes, valid = runs[0].boxes
        own = Boxes(boxes * first[..., None].astype(boxes.dtype), classes * first, valid & first)
        losses = (_terms(summary[ONE_EMPTY]),)
        yield Run(f"{runs[0].name}, last picture without boxes", 0, runs[0].rate, own, losses)


def _terms(of_step: Mapping[str, Any]) -> dict[str, float]:
    return {ours: float(of_step[theirs]) for theirs, ours in TERMS.items()}


def _boxes(arrays: Mapping[str, np.ndarray]) -> Boxes:
    per_picture = [arrays[f"gt_bbox{i}"] for i in range(len(arrays["input"]))]
    most = max(map(len, per_picture))
    boxes = np.zeros((len(per_picture), most, 4), np.float32)
    classes = np.zeros(boxes.shape[:2], np.int64)
    valid = np.zeros(boxes.shape[:2], bool)
    for i, of_picture in enumerate(per_picture):
        count = len(of_picture)
        boxes[i, :count], classes[i, :count] = of_picture, arrays[f"gt_class{i}"][:, 0]
        valid[i, :count] = True
    return Boxes(boxes, classes, valid)


def _taken(arrays: Mapping[str, np.ndarray], levels: list[int]) -> Taken:
    pictures = len(arrays["input"])
    quality = _qualities(arrays, levels, pictures)
    cells = [arrays[f"as{i}_pos"] for i in range(pictures)]
    picture = np.repeat(np.arange(pictures), [len(of_picture) for of_picture in cells])
    cell = np.concatenate(cells)
    box = np.concatenate([_box_of(arrays, i) for i in range(pictures)])
    return Taken(picture, cell, box, quality[picture, cell])


def _box_of(arrays: Mapping[str, np.ndarray], picture: int) -> np.ndarray:
    """Of each cell that takes one; in 2022 only the box itself was recorded."""
    if f"as{picture}_gt" in arrays:
        return arrays[f"as{picture}_gt"]
    boxes, taken = arrays[f"gt_bbox{picture}"], arrays[f"as{picture}_bbox"]
    index: np.ndarray = np.abs(taken[:, None] - boxes).max(axis=2).argmin(axis=1)
    return index


def _qualities(arrays: Mapping[str, np.ndarray], levels: list[int], pictures: int) -> np.ndarray:
    """[B, A]. In 2021 each level has a loss of its own, over all its pictures; in 2022 there is
    one, over all levels of a picture before the next.
    """
    parts = levels if "vfl1_idx" in arrays else [sum(levels)]
    found = []
    for i, cells in enumerate(parts):
        of_part = np.zeros(pictures * cells)
        of_part[arrays[f"vfl{i}_idx"][:, 0]] = arrays[f"vfl{i}_val"]
        found.append(of_part.reshape(pictures, cells))
    return np.concatenate(found, axis=1)


def _gradients(path: Path) -> Tensors | None:
    """Their first values and what they amount to; their shapes were not recorded."""
    if not path.is_file():
        return None
    return {
        str(told["name"]): Known(
            None,
            np.arange(len(told["first8"])),
            np.array(told["first8"], np.float32),
            {ours: float(told[theirs]) for theirs, ours in MEASURES.items()},
        )
        for told in json.loads(path.read_text())
        if "first8" in told
    }


def _rates(path: Path) -> Rates | None:
    if not path.is_file():
        return None
    arrays = read_npz(path)
    return Rates(int(arrays["steps_per_epoch"]), arrays["iters"], arrays["lr"])


def _traces(path: Path) -> Iterator[Trace]:
    if not path.is_file():
        return
    content = json.loads(path.read_text())
    for name, (kind, cycle) in TRACES.items():
        moments = tuple(
            Averaged(
                _first(moment["raw"]), _first(moment["applied"]) if "applied" in moment else None
            )
            for moment in content[name]
        )
        yield Trace(name, kind, cycle, moments)


def _first(values: Mapping[str, list[float]]) -> Tensors:
    """Some of the first values; make_reference.py keeps eight of each."""
    return {
        name: Known(None, np.arange(len(first)), np.array(first, np.float32), {})
        for name, first in values.items()
    }
