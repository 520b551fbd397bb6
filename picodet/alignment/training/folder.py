"""Reads the folders of recorded trainings that ../shared/reference/make_reference.py wrote.

They differ in content: all have digests of gradients, not all have the weights after three steps.
NumPy only.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from picodet.alignment.recording.index import content_key
from picodet.alignment.training.batch import GroundTruth
from picodet.alignment.training.recording import (
    EMASnapshot,
    EMATrace,
    LearningRates,
    RecordedAssignment,
    TensorDigest,
    TensorDigests,
    TrainingRecording,
    TrainingRun,
    tensor_digest,
)
from picodet.errors import RecordingError
from picodet.files import sha256
from picodet.formats import pdparams
from picodet.formats.npz_files import ArrayFileError, read_npz
from picodet.formats.precision import as_float32

TAGS = {"train": "SimOTA", "train_atss": "ATSS", "train_tal": "task-aligned"}
# in train_summary.json: losses of the batch with only the first image's boxes
EMPTY_IMAGE_KEY = "train_one_empty_image"
TERMS = {"loss_vfl": "varifocal", "loss_bbox": "boxes", "loss_dfl": "sides"}
MEASURES = {"l2": "norm", "sum": "sum", "absmax": "greatest"}
PARSE_ERRORS = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    OSError,
    ArrayFileError,
)
EMAKind = Literal["threshold", "normal", "exponential"]
# traces in ema.json: the kind and cycle that replace the config's
EMA_TRACES: Mapping[str, tuple[EMAKind | None, int | None]] = {
    "as_config": (None, None),
    "as_config_apply_every_2": (None, None),
    "cycle3_apply_every_2": (None, 3),
    "normal": ("normal", None),
    "exponential": ("exponential", None),
}


def is_reference_folder(path: Path) -> bool:
    """Whether a path is a folder that make_reference.py wrote."""
    return path.is_dir() and any((path / f"{tag}.npz").is_file() for tag in TAGS)


def read_folder(path: Path) -> TrainingRecording:
    """Read a folder. Raises RecordingError for a missing or damaged file, CheckpointError for a
    damaged checkpoint.
    """
    checkpoint = path / f"{path.resolve().name}.pdparams"
    if not checkpoint.is_file():
        raise RecordingError(
            f"{path}: no {checkpoint.name}; expected the checkpoint that was recorded"
        )
    weights = _tensors(checkpoint)
    try:
        arrays = {
            tag: read_npz(path / f"{tag}.npz") for tag in TAGS if _is_file(path / f"{tag}.npz")
        }
        runs = [_run(path, tag, tag_arrays) for tag, tag_arrays in arrays.items()]
        runs += list(_run_with_empty_image(path, runs))
        meta = json.loads((path / "meta.json").read_text())
        return TrainingRecording(
            file=checkpoint.name,
            sha256=sha256(checkpoint),
            versions={name: str(meta[name]) for name in ("paddle", "numpy", "cv2")},
            precision="float32",
            weights={name: content_key(array) for name, array in weights.items()},
            images=next(iter(arrays.values()))["input"],
            runs=tuple(runs),
            rates=_learning_rates(path / "lr.npz"),
            traces=tuple(_ema_traces(path / "ema.json")),
        )
    except PARSE_ERRORS as error:
        raise RecordingError(
            f"{path}: a file is missing or damaged: {type(error).__name__} {error}; make the "
            "folder again"
        ) from error


def _is_file(path: Path) -> bool:
    return path.is_file()


def _tensors(path: Path) -> dict[str, np.ndarray]:
    arrays = {name: as_float32(array) for name, array in pdparams.read(path).items()}
    return {name: array for name, array in arrays.items() if array is not None}


def _digest_all(tensors: Mapping[str, np.ndarray]) -> TensorDigests:
    return {name: tensor_digest(array, np.arange(array.size)) for name, array in tensors.items()}


def _run(path: Path, tag: str, arrays: Mapping[str, np.ndarray]) -> TrainingRun:
    entry = json.loads((path / f"{tag}_loss.json").read_text())
    after = path / f"{tag}_after{len(entry['log'])}.pdparams"
    statistics = path / f"{tag}_bn_after1.npz"
    return TrainingRun(
        name=TAGS[tag],
        epoch=int(entry["epoch_id"]),
        lr=float(entry["lr"]),
        boxes=_ground_truth(arrays),
        losses=tuple(_losses(step) for step in entry["log"]),
        assignment=_assignment(arrays, [int(n) for n in entry["n_anchor_per_level"]]),
        gradients=_gradients(path / f"{tag}_grads.json"),
        statistics=_digest_all(read_npz(statistics)) if statistics.is_file() else None,
        parameters=_digest_all(_tensors(after)) if after.is_file() else None,
    )


def _run_with_empty_image(path: Path, runs: list[TrainingRun]) -> Iterator[TrainingRun]:
    summary = json.loads((path / "train_summary.json").read_text())
    if EMPTY_IMAGE_KEY in summary:
        first = np.arange(len(runs[0].boxes.valid))[:, None] == 0
        boxes, classes, valid = runs[0].boxes
        ground_truth = GroundTruth(
            boxes * first[..., None].astype(boxes.dtype), classes * first, valid & first
        )
        losses = (_losses(summary[EMPTY_IMAGE_KEY]),)
        yield TrainingRun(
            f"{runs[0].name}, last picture without boxes", 0, runs[0].lr, ground_truth, losses
        )


def _losses(step: Mapping[str, Any]) -> dict[str, float]:
    return {ours: float(step[theirs]) for theirs, ours in TERMS.items()}


def _ground_truth(arrays: Mapping[str, np.ndarray]) -> GroundTruth:
    boxes_per_image = [arrays[f"gt_bbox{i}"] for i in range(len(arrays["input"]))]
    max_boxes = max(map(len, boxes_per_image))
    boxes = np.zeros((len(boxes_per_image), max_boxes, 4), np.float32)
    classes = np.zeros(boxes.shape[:2], np.int64)
    valid = np.zeros(boxes.shape[:2], bool)
    for i, image_boxes in enumerate(boxes_per_image):
        count = len(image_boxes)
        boxes[i, :count], classes[i, :count] = image_boxes, arrays[f"gt_class{i}"][:, 0]
        valid[i, :count] = True
    return GroundTruth(boxes, classes, valid)


def _assignment(arrays: Mapping[str, np.ndarray], levels: list[int]) -> RecordedAssignment:
    num_images = len(arrays["input"])
    quality = _quality(arrays, levels, num_images)
    anchors = [arrays[f"as{i}_pos"] for i in range(num_images)]
    image = np.repeat(np.arange(num_images), [len(image_boxes) for image_boxes in anchors])
    anchor = np.concatenate(anchors)
    box = np.concatenate([_assigned_boxes(arrays, i) for i in range(num_images)])
    return RecordedAssignment(image, anchor, box, quality[image, anchor])


def _assigned_boxes(arrays: Mapping[str, np.ndarray], image: int) -> np.ndarray:
    """Box indices of the positive anchor points; in 2022 only the boxes themselves are recorded."""
    if f"as{image}_gt" in arrays:
        return arrays[f"as{image}_gt"]
    boxes, assigned = arrays[f"gt_bbox{image}"], arrays[f"as{image}_bbox"]
    index: np.ndarray = np.abs(assigned[:, None] - boxes).max(axis=2).argmin(axis=1)
    return index


def _quality(arrays: Mapping[str, np.ndarray], levels: list[int], num_images: int) -> np.ndarray:
    """Qualities [B, A]. In 2021 there is one loss per level, over all images; in 2022 one loss,
    over all levels of an image before the next.
    """
    parts = levels if "vfl1_idx" in arrays else [sum(levels)]
    found = []
    for i, anchors in enumerate(parts):
        part = np.zeros(num_images * anchors)
        part[arrays[f"vfl{i}_idx"][:, 0]] = arrays[f"vfl{i}_val"]
        found.append(part.reshape(num_images, anchors))
    return np.concatenate(found, axis=1)


def _gradients(path: Path) -> TensorDigests | None:
    """Their first values and measures; their shapes were not recorded."""
    if not path.is_file():
        return None
    return {
        str(entry["name"]): TensorDigest(
            None,
            np.arange(len(entry["first8"])),
            np.array(entry["first8"], np.float32),
            {ours: float(entry[theirs]) for theirs, ours in MEASURES.items()},
        )
        for entry in json.loads(path.read_text())
        if "first8" in entry
    }


def _learning_rates(path: Path) -> LearningRates | None:
    if not path.is_file():
        return None
    arrays = read_npz(path)
    return LearningRates(int(arrays["steps_per_epoch"]), arrays["iters"], arrays["lr"])


def _ema_traces(path: Path) -> Iterator[EMATrace]:
    if not path.is_file():
        return
    content = json.loads(path.read_text())
    for name, (kind, cycle) in EMA_TRACES.items():
        updates = tuple(
            EMASnapshot(
                _digest_first(update["raw"]),
                _digest_first(update["applied"]) if "applied" in update else None,
            )
            for update in content[name]
        )
        yield EMATrace(name, kind, cycle, updates)


def _digest_first(values: Mapping[str, list[float]]) -> TensorDigests:
    """Digests of the first values; make_reference.py keeps eight of each tensor."""
    return {
        name: TensorDigest(None, np.arange(len(first)), np.array(first, np.float32), {})
        for name, first in values.items()
    }
