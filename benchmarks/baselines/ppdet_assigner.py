"""Times ppdet's assigners on given predictions, for benchmarks/speed/assigner.py.

    PYTHON benchmarks/baselines/ppdet_assigner.py GIVEN.npz FOUND.npz RUNS

PYTHON has paddlepaddle and ppdet (`make reference`). FOUND gets for each assigner the median of its
milliseconds, and the box index of each anchor point [B, A], -1 for none.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import paddle
from ppdet.modeling.assigners import ATSSAssigner, SimOTAAssigner, TaskAlignedAssigner

ANCHOR_SIZE = 5.0  # side of ATSS's square anchors, in strides


def assigners(inputs: dict[str, np.ndarray]) -> dict[str, Callable[[], np.ndarray]]:
    """The assigners as ppdet's heads call them, with the settings of configs/picodet."""
    scores = paddle.to_tensor(inputs["scores"]).transpose([0, 2, 1])
    predicted, strides, points, boxes = (
        paddle.to_tensor(inputs[name]) for name in ("predicted", "strides", "points", "boxes")
    )
    classes = paddle.to_tensor(inputs["classes"])[..., None]
    valid = paddle.to_tensor(inputs["valid"].astype(np.float32))[..., None]
    num_classes = scores.shape[2]
    counts = inputs["valid"].sum(axis=1)
    anchor_points = paddle.concat([points, strides, strides], axis=1)
    half = strides * ANCHOR_SIZE / 2
    anchors = paddle.concat([points - half, points + half], axis=1)
    levels = [int(h * w) for h, w in inputs["levels"]]
    ota = SimOTAAssigner(candidate_topk=10, iou_weight=6, num_classes=num_classes)
    static = ATSSAssigner(topk=9, num_classes=num_classes, force_gt_matching=False)
    aligned = TaskAlignedAssigner(topk=13, alpha=1.0, beta=6.0)
    images = [
        (scores[i], predicted[i], boxes[i, : int(n)], classes[i, : int(n)])
        for i, n in enumerate(counts)
    ]

    def simota() -> np.ndarray:
        found: list[np.ndarray] = []
        sample = ota.get_sample

        def keep(numbers: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, ...]:
            found.append(numbers - 1)
            return sample(numbers, own)

        ota.get_sample = keep
        for own_scores, own_predicted, own_boxes, own_classes in images:
            ota(own_scores, anchor_points, own_predicted, own_boxes, own_classes)
        ota.get_sample = sample
        return np.stack(found)

    def chosen(mask: paddle.Tensor) -> np.ndarray:
        array = mask.numpy()
        return np.where(array.max(axis=1) > 0, array.argmax(axis=1), -1)

    def atss() -> np.ndarray:
        found = static(anchors, levels, classes, boxes, valid, num_classes, pred_bboxes=predicted)
        return chosen(found[3])

    def task_aligned() -> np.ndarray:
        found = aligned(scores, predicted, points, levels, classes, boxes, valid, num_classes)
        return chosen(found[3])

    return {"SimOTA": simota, "ATSS": atss, "task-aligned": task_aligned}


def main() -> None:
    """Time the assigners one after the other and write the results."""
    inputs, found, runs = sys.argv[1:]
    result: dict[str, np.ndarray] = {}
    with np.load(inputs) as loaded:
        assign_functions = assigners(dict(loaded))
    for name, assign in assign_functions.items():
        times = []
        for _ in range(int(runs) + 1):
            start = time.perf_counter()
            result[f"{name} box"] = assign()
            times.append(1e3 * (time.perf_counter() - start))
        result[f"{name} ms"] = np.array(statistics.median(times[1:]))
    np.savez(found, allow_pickle=False, **result)


if __name__ == "__main__":
    main()
