"""Records ppdet's assigners on synthetic predictions (drawn_assignments.py), in float64.

    PYTHONPATH=. .venv-paddle/bin/python -W ignore -m scripts.record.assigners

makes tests/golden/assigners.npz again: for each assigner the positive anchor points, as rows
(image, anchor point, box), and the targets of their scores. In float64, because in float32 the
anchor points that are far from a box all have the same cost, and ppdet's choice is arbitrary.
"""

from pathlib import Path

import numpy as np
import paddle
from ppdet.data.transform.atss_assigner import bbox_overlaps
from ppdet.modeling.assigners import ATSSAssigner, SimOTAAssigner, TaskAlignedAssigner

from scripts.fixtures.drawn_assignments import CLASSES, STRIDES, SyntheticBatch, synthetic_batch

OUT = Path(__file__).parents[2] / "tests" / "golden" / "assigners.npz"
ANCHOR_SIZE = 5.0  # side of ATSS's square anchors, in strides


def simota(inputs: SyntheticBatch) -> tuple[np.ndarray, np.ndarray]:
    """SimOTA, image by image as in ppdet: box index, -1 for none, and quality, [B, A] each."""
    assigner = SimOTAAssigner(candidate_topk=10, iou_weight=6, num_classes=CLASSES)
    assigned_boxes: list[np.ndarray] = []
    sample = assigner.get_sample

    def keep(numbers: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, ...]:
        assigned_boxes.append(np.array(numbers) - 1)
        return sample(numbers, boxes)

    assigner.get_sample = keep
    anchor_points = paddle.to_tensor(
        np.concatenate([inputs.points, inputs.strides, inputs.strides], axis=1)
    )
    box = np.full(inputs.predicted.shape[:2], -1)
    quality = np.zeros(box.shape)
    for i, valid in enumerate(inputs.valid):
        scores = paddle.to_tensor(inputs.scores[i].T.copy())
        boxes, predicted = inputs.boxes[i][valid], inputs.predicted[i]
        classes = paddle.to_tensor(inputs.classes[i][valid][:, None])
        _, labels, _, targets = assigner(
            scores, anchor_points, paddle.to_tensor(predicted), paddle.to_tensor(boxes), classes
        )
        if not valid.any():
            continue
        box[i] = assigned_boxes[-1]
        own = labels < CLASSES
        quality[i, own] = bbox_overlaps(predicted[own], targets[own], is_aligned=True)
    return box, quality


def batch_assigners(inputs: SyntheticBatch) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The assigners of 2022, by name; values as of `simota`."""
    scores = paddle.to_tensor(inputs.scores.transpose(0, 2, 1).copy())
    predicted, boxes, points = map(
        paddle.to_tensor, (inputs.predicted, inputs.boxes, inputs.points)
    )
    classes = paddle.to_tensor(inputs.classes[..., None])
    valid = paddle.to_tensor(inputs.valid[..., None].astype(float))
    half = ANCHOR_SIZE * inputs.strides / 2
    anchors = paddle.to_tensor(np.concatenate([inputs.points - half, inputs.points + half], axis=1))
    levels = [int((inputs.strides == stride).sum()) for stride in STRIDES]
    static = ATSSAssigner(topk=9, num_classes=CLASSES)
    aligned = TaskAlignedAssigner(topk=13, alpha=1.0, beta=6.0)
    found = {
        "atss": static(anchors, levels, classes, boxes, valid, CLASSES, pred_bboxes=predicted),
        "task_aligned": aligned(scores, predicted, points, levels, classes, boxes, valid, CLASSES),
    }
    result = {}
    for name, tensors in found.items():
        _, _, assigned, assigned_classes = (tensor.numpy() for tensor in tensors)
        box = np.where(assigned_classes.max(axis=1) > 0, assigned_classes.argmax(axis=1), -1)
        result[name] = (box, assigned.max(axis=2))
    return result


def main() -> None:
    """Write the recording."""
    paddle.set_default_dtype("float64")
    inputs = synthetic_batch()
    arrays: dict[str, np.ndarray] = {}
    for name, (box, quality) in {"simota": simota(inputs), **batch_assigners(inputs)}.items():
        image, anchor = (box >= 0).nonzero()
        rows = np.stack([image, anchor, box[image, anchor]], axis=1)
        arrays[f"{name}/taken"] = rows.astype(np.int16)
        arrays[f"{name}/quality"] = quality[image, anchor]
    np.savez_compressed(OUT, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
