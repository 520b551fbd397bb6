"""Record ppdet's own assigners on drawn predictions (scripts/fixtures/drawn_assignments.py), in float64.

    PYTHONPATH=. .venv-paddle/bin/python -W ignore -m scripts.record.assigners

makes tests/golden/assigners.npz again: for each assigner the cells that take a box, and which, as
rows (picture, cell, box), and what their scores should be. In float64, as in float32 the cells that
are far from a box all cost the same, and which of them ppdet takes is anybody's guess.
"""

from pathlib import Path

import numpy as np
import paddle
from ppdet.data.transform.atss_assigner import bbox_overlaps
from ppdet.modeling.assigners import ATSSAssigner, SimOTAAssigner, TaskAlignedAssigner

from scripts.fixtures.drawn_assignments import CLASSES, STRIDES, Drawn, drawn

OUT = Path(__file__).parents[2] / "tests" / "golden" / "assigners.npz"
ANCHOR = 5.0  # strides, the squares of ATSS


def simota(given: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Picture by picture, as ppdet does it."""
    assigner = SimOTAAssigner(candidate_topk=10, iou_weight=6, num_classes=CLASSES)
    taken: list[np.ndarray] = []
    sample = assigner.get_sample

    def keep(numbers: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, ...]:
        taken.append(np.array(numbers) - 1)
        return sample(numbers, boxes)

    assigner.get_sample = keep
    cells = paddle.to_tensor(np.concatenate([given.points, given.strides, given.strides], axis=1))
    box = np.full(given.predicted.shape[:2], -1)
    quality = np.zeros(box.shape)
    for i, valid in enumerate(given.valid):
        scores = paddle.to_tensor(given.scores[i].T.copy())
        boxes, predicted = given.boxes[i][valid], given.predicted[i]
        classes = paddle.to_tensor(given.classes[i][valid][:, None])
        _, labels, _, targets = assigner(
            scores, cells, paddle.to_tensor(predicted), paddle.to_tensor(boxes), classes
        )
        if not valid.any():
            continue
        box[i] = taken[-1]
        own = labels < CLASSES
        quality[i, own] = bbox_overlaps(predicted[own], targets[own], is_aligned=True)
    return box, quality


def of_batch(given: Drawn) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The assigners of 2022."""
    scores = paddle.to_tensor(given.scores.transpose(0, 2, 1).copy())
    predicted, boxes, points = map(paddle.to_tensor, (given.predicted, given.boxes, given.points))
    classes = paddle.to_tensor(given.classes[..., None])
    valid = paddle.to_tensor(given.valid[..., None].astype(float))
    half = ANCHOR * given.strides / 2
    anchors = paddle.to_tensor(np.concatenate([given.points - half, given.points + half], axis=1))
    levels = [int((given.strides == stride).sum()) for stride in STRIDES]
    static = ATSSAssigner(topk=9, num_classes=CLASSES)
    aligned = TaskAlignedAssigner(topk=13, alpha=1.0, beta=6.0)
    found = {
        "atss": static(anchors, levels, classes, boxes, valid, CLASSES, pred_bboxes=predicted),
        "task_aligned": aligned(scores, predicted, points, levels, classes, boxes, valid, CLASSES),
    }
    result = {}
    for name, tensors in found.items():
        _, _, assigned, wanting = (tensor.numpy() for tensor in tensors)
        box = np.where(wanting.max(axis=1) > 0, wanting.argmax(axis=1), -1)
        result[name] = (box, assigned.max(axis=2))
    return result


def main() -> None:
    """Write it."""
    paddle.set_default_dtype("float64")
    given = drawn()
    arrays: dict[str, np.ndarray] = {}
    for name, (box, quality) in {"simota": simota(given), **of_batch(given)}.items():
        picture, cell = (box >= 0).nonzero()
        rows = np.stack([picture, cell, box[picture, cell]], axis=1)
        arrays[f"{name}/taken"] = rows.astype(np.int16)
        arrays[f"{name}/quality"] = quality[picture, cell]
    np.savez_compressed(OUT, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
