"""The rung of NMS: the boxes that are kept, as sets, and their order."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.report.formatting import format_number
from picodet.alignment.result import Finding, Stage
from picodet.models.head import AnyHeadOutput
from picodet.models.picodet import PicoDet
from picodet.ops import decode, postprocess
from picodet.ops.nms import multiclass_nms

SCORE_THRESHOLD, IOU_THRESHOLD, TOP_K, KEEP = 0.025, 0.6, 1000, 100  # ppdet's: picodet_esnet.yml:50
THRESHOLDS = (("score_threshold", SCORE_THRESHOLD), ("iou_threshold", IOU_THRESHOLD))
MATCH_DISTANCE = 1.0  # pixels: within it a box end to end is the same one
UNKNOWN = "none of the usual mistakes"


def our_nms(boxes: np.ndarray, scores: np.ndarray, scale_factor: np.ndarray) -> np.ndarray:
    """What our own last step keeps: [N, 6] of class, score, xyxy.

    boxes [A, 4] in pixels of the network's input, scores [C, A], scale_factor [2] (y, x).
    """
    found = postprocess.apply_nms(
        postprocess.Candidates(boxes, scores), scale_factor, SCORE_THRESHOLD
    )
    return np.column_stack([found.classes, found.scores, found.boxes]).astype(boxes.dtype)


def compare_nms(
    model: PicoDet,
    runs: list[AnyHeadOutput],
    recorded: ReferenceTensors,
    probe_findings: tuple[Finding, ...],
    evidence: str,
) -> Stage:
    """Our NMS on the reference's boxes against what the reference keeps."""
    recording = recorded.recording
    ending, findings = recording.index.ending, list(probe_findings)
    summary_parts = [f"probe boxes, {evidence}"]
    if ending.kept:
        theirs = recording.tensor(ending.kept)
        scale_factor = np.array(recording.index.scale_factor, theirs.dtype)
        if ending.boxes and ending.box_scores and recording.has(ending.boxes):
            boxes, scores = (recording.tensor(key)[0] for key in (ending.boxes, ending.box_scores))
            ours = our_nms(boxes, scores, scale_factor)
            in_order = recording.index.kind != "onnx"  # its NMS has another order than Paddle's
            in_picture = boxes / np.tile(scale_factor[::-1], 2)
            findings += compare_kept_boxes(ours, theirs, in_order, "boxes", (in_picture, scores))
            summary_parts.insert(0, f"{len(theirs)} boxes kept of the reference's candidates")
        if runs:
            with torch.inference_mode():
                decoded = decode.decode(runs[0], model.head.integral)
            ours = our_nms(decoded[0][0].numpy(), decoded[1][0].numpy(), scale_factor)
            summary_parts.append(f"end to end: {describe_end_to_end(ours, theirs)}")
    return Stage(
        "NMS", "differs" if findings else "aligned", "; ".join(summary_parts), tuple(findings)
    )


def compare_kept_boxes(
    ours: np.ndarray,
    theirs: np.ndarray,
    in_order: bool,
    name: str,
    candidates: tuple[np.ndarray, np.ndarray],
) -> list[Finding]:
    """Rows [N, 6] of the same candidates (boxes [A, 4], scores [C, A]), bit for bit."""
    our_rows, their_rows = ([tuple(row) for row in rows.tolist()] for rows in (ours, theirs))
    missing = Counter(their_rows) - Counter(our_rows)
    extra = Counter(our_rows) - Counter(their_rows)
    if missing or extra:
        boxes = {row[1:] for row in missing} & {row[1:] for row in extra}
        found = f"{extra.total()} extra, {missing.total()} missing"
        found += f", {len(boxes)} with another class" if boxes else ""
        first = next(iter(missing or extra))
        which = "missing" if missing else "extra"
        expected = f"the {len(theirs)} kept; first {which}: {_describe_row(first)}"
        return [Finding(name, found, expected, _explain(candidates, ours))]
    keys = [[row[:2] for row in rows] for rows in (our_rows, their_rows)]
    if in_order and keys[0] != keys[1]:
        at = next(i for i, (a, b) in enumerate(zip(*keys, strict=True)) if a != b)
        return [
            Finding(
                name,
                f"in another order from row {at}: {_describe_row(our_rows[at])}",
                f"{_describe_row(their_rows[at])}: by class, then by score",
                "the kept boxes are the same",
            )
        ]
    return []


def _explain(candidates: tuple[np.ndarray, np.ndarray], ours: np.ndarray) -> str:
    """WeightSet setting of the NMS, made wrong on purpose, keeps what ours keeps."""
    boxes, scores = candidates
    our_rows = Counter(map(tuple, ours.tolist()))
    for what, settings in _mistakes():
        classes, indices = multiclass_nms(boxes, scores, **settings)
        rows = np.column_stack([classes, scores[classes, indices], boxes[indices]])
        if Counter(map(tuple, rows.astype(ours.dtype).tolist())) == our_rows:
            return what
    return UNKNOWN


def _mistakes() -> Iterator[tuple[str, dict[str, Any]]]:
    below = {name: np.nextafter(np.float32(value), np.float32(0)) for name, value in THRESHOLDS}
    yield (
        "a score equal to the threshold counts; the reference's must be greater",
        {"score_threshold": below["score_threshold"]},
    )
    yield (
        "an IoU equal to the threshold suppresses; the reference's must be greater",
        {"iou_threshold": below["iou_threshold"]},
    )
    for iou in sorted(
        np.arange(0.30, 0.96, 0.01).round(2), key=lambda iou: abs(iou - IOU_THRESHOLD)
    ):
        yield (
            f"IoU threshold {iou}; the reference's is {IOU_THRESHOLD}",
            {"iou_threshold": float(iou)},
        )
    for score in (0.0, 0.001, 0.01, 0.02, 0.024, 0.026, 0.03, 0.05, 0.1, 0.25, 0.3, 0.4, 0.5):
        yield (
            f"score threshold {score}; the reference's is {SCORE_THRESHOLD}",
            {"score_threshold": score},
        )
    for keep in (*range(90, 110), 50, 200, 300, 1000):
        yield f"the best {keep} boxes are kept; the reference keeps {KEEP}", {"keep_top_k": keep}
    for top_k in (100, 200, 300, 400, 500, 999, 1001, 2000, 10_000):
        yield (
            f"the best {top_k} candidates of a class take part; the reference's {TOP_K}",
            {"top_k": top_k},
        )


def _describe_row(row: tuple[float, ...]) -> str:
    return f"class {int(row[0])}, {row[1]:.4f}, [{', '.join(f'{side:.1f}' for side in row[2:])}]"


def describe_end_to_end(ours: np.ndarray, theirs: np.ndarray) -> str:
    """How many boxes of the whole pipeline are the reference's, and how near."""
    distances = np.abs(ours[:, None, 2:] - theirs[None, :, 2:]).max(axis=2)
    distances[ours[:, None, 0] != theirs[None, :, 0]] = np.inf
    pairs: list[tuple[int, int]] = []
    for flat in np.argsort(distances, axis=None):
        i, j = divmod(int(flat), max(len(theirs), 1))
        if distances[i, j] > MATCH_DISTANCE:
            break
        if i not in {a for a, _ in pairs} and j not in {b for _, b in pairs}:
            pairs.append((i, j))
    if not pairs:
        return f"0 of {len(theirs)} boxes"
    rows, columns = map(list, zip(*pairs, strict=True))
    score = np.abs(ours[rows, 1] - theirs[columns, 1]).max()
    extra = f", {len(ours) - len(pairs)} extra" if len(ours) > len(pairs) else ""
    return (
        f"{len(pairs)} of {len(theirs)} boxes{extra}, scores within {format_number(float(score))}, "
        f"sides within {format_number(float(distances[rows, columns].max()))} pixels"
    )
