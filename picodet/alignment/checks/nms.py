"""The NMS stage: the boxes that are kept, as sets, and their order."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.report.formatting import format_number
from picodet.alignment.result import UNKNOWN_CAUSE, Finding, Stage
from picodet.models.head import AnyHeadOutput
from picodet.models.picodet import PicoDet
from picodet.ops import decode, postprocess
from picodet.ops.nms import multiclass_nms

SCORE_THRESHOLD, IOU_THRESHOLD, TOP_K, KEEP = 0.025, 0.6, 1000, 100  # ppdet's: picodet_esnet.yml:50
THRESHOLDS = (("score_threshold", SCORE_THRESHOLD), ("iou_threshold", IOU_THRESHOLD))
MATCH_DISTANCE = 1.0  # pixels: boxes this near are the same, end to end


def picodet_nms(boxes: np.ndarray, scores: np.ndarray, scale_factor: np.ndarray) -> np.ndarray:
    """The boxes that picodet's NMS keeps: [N, 6] of class, score, xyxy in pixels of the image.

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
    """picodet's NMS of the reference's boxes against the boxes that the reference keeps."""
    recording = recorded.recording
    outputs, findings = recording.index.network_outputs, list(probe_findings)
    summary_parts = [f"probe boxes, {evidence}"]
    if outputs.kept:
        expected = recording.tensor(outputs.kept)
        scale_factor = np.array(recording.index.scale_factor, expected.dtype)
        if outputs.boxes and outputs.box_scores and recording.has(outputs.boxes):
            boxes, scores = (
                recording.tensor(key)[0] for key in (outputs.boxes, outputs.box_scores)
            )
            kept = picodet_nms(boxes, scores, scale_factor)
            in_order = recording.index.kind != "onnx"  # its NMS has another order than Paddle's
            in_image = boxes / np.tile(scale_factor[::-1], 2)
            findings += compare_kept_boxes(kept, expected, in_order, "boxes", (in_image, scores))
            summary_parts.insert(0, f"{len(expected)} boxes kept of the reference's candidates")
        if runs:
            with torch.inference_mode():
                decoded = decode.decode(runs[0], model.head.integral)
            kept = picodet_nms(decoded[0][0].numpy(), decoded[1][0].numpy(), scale_factor)
            summary_parts.append(f"end to end: {describe_end_to_end(kept, expected)}")
    return Stage(
        "NMS", "differs" if findings else "aligned", "; ".join(summary_parts), tuple(findings)
    )


def compare_kept_boxes(
    kept: np.ndarray,
    expected: np.ndarray,
    in_order: bool,
    name: str,
    candidates: tuple[np.ndarray, np.ndarray],
) -> list[Finding]:
    """Compare rows [N, 6] kept of the same candidates (boxes [A, 4], scores [C, A]) bit by bit."""
    rows, expected_rows = ([tuple(row) for row in each.tolist()] for each in (kept, expected))
    missing = Counter(expected_rows) - Counter(rows)
    extra = Counter(rows) - Counter(expected_rows)
    if missing or extra:
        boxes = {row[1:] for row in missing} & {row[1:] for row in extra}
        found = f"{extra.total()} extra, {missing.total()} missing"
        found += f", {len(boxes)} with another class" if boxes else ""
        first = next(iter(missing or extra))
        which = "missing" if missing else "extra"
        text = f"the {len(expected)} kept; first {which}: {_describe_row(first)}"
        return [Finding(name, found, text, _explain(candidates, kept))]
    keys = [[row[:2] for row in each] for each in (rows, expected_rows)]
    if in_order and keys[0] != keys[1]:
        at = next(i for i, (a, b) in enumerate(zip(*keys, strict=True)) if a != b)
        return [
            Finding(
                name,
                f"in another order from row {at}: {_describe_row(rows[at])}",
                f"{_describe_row(expected_rows[at])}: by class, then by score",
                "the kept boxes are the same",
            )
        ]
    return []


def _explain(candidates: tuple[np.ndarray, np.ndarray], kept: np.ndarray) -> str:
    """The wrong setting of NMS with which it keeps exactly these rows."""
    boxes, scores = candidates
    kept_rows = Counter(map(tuple, kept.tolist()))
    for what, settings in _mistakes():
        classes, indices = multiclass_nms(boxes, scores, **settings)
        rows = np.column_stack([classes, scores[classes, indices], boxes[indices]])
        if Counter(map(tuple, rows.astype(kept.dtype).tolist())) == kept_rows:
            return what
    return UNKNOWN_CAUSE


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
            f"the best {top_k} candidates of a class take part; the reference's limit is {TOP_K}",
            {"top_k": top_k},
        )


def _describe_row(row: tuple[float, ...]) -> str:
    box = ", ".join(f"{coordinate:.1f}" for coordinate in row[2:])
    return f"class {int(row[0])}, {row[1]:.4f}, [{box}]"


def describe_end_to_end(kept: np.ndarray, expected: np.ndarray) -> str:
    """The number of the reference's boxes that the whole pipeline keeps too, and their distance."""
    distances = np.abs(kept[:, None, 2:] - expected[None, :, 2:]).max(axis=2)
    distances[kept[:, None, 0] != expected[None, :, 0]] = np.inf
    pairs: list[tuple[int, int]] = []
    for flat in np.argsort(distances, axis=None):
        i, j = divmod(int(flat), max(len(expected), 1))
        if distances[i, j] > MATCH_DISTANCE:
            break
        if i not in {a for a, _ in pairs} and j not in {b for _, b in pairs}:
            pairs.append((i, j))
    if not pairs:
        return f"0 of {len(expected)} boxes"
    rows, columns = map(list, zip(*pairs, strict=True))
    score = np.abs(kept[rows, 1] - expected[columns, 1]).max()
    extra = f", {len(kept) - len(pairs)} extra" if len(kept) > len(pairs) else ""
    return (
        f"{len(pairs)} of {len(expected)} boxes{extra}, "
        f"scores within {format_number(float(score))}, "
        f"coordinates within {format_number(float(distances[rows, columns].max()))} pixels"
    )
