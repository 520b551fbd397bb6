"""ppdet's own training steps with given pictures, for train.py.

    PYTHONPATH=. PYTHON benchmarks/baselines/ppdet_train.py NAME EPOCH WEIGHTS.npz GIVEN.npz RATE

PYTHON has paddlepaddle and ppdet (`make reference`). A number of steps is read from each line of
the input; they are taken, and a line of JSON says the seconds of each and the losses of the first.
Each step is that of ppdet/engine/trainer.py:596-641: forward, losses, backward, update, average.
"""

import json
import sys
import time

import numpy as np
import paddle
from ppdet.optimizer import ModelEMA

from picodet.alignment.paddle_side import model, training
from picodet.zoo.official import CONFIGS


def fed(given: dict[str, np.ndarray], epoch: int, aligned: bool) -> dict[str, object]:
    """What the reader gives beside the pictures: lists in 2021, padded arrays in 2022."""
    pictures = len(given["images"])
    common = {"im_id": paddle.arange(pictures)[:, None], "epoch_id": epoch}
    if aligned:
        return common | {
            "gt_bbox": paddle.to_tensor(given["boxes"]),
            "gt_class": paddle.to_tensor(given["classes"][..., None]),
            "pad_gt_mask": paddle.to_tensor(given["valid"].astype(np.float32)[..., None]),
        }
    counts = given["valid"].sum(axis=1)
    own = range(pictures)
    return common | {
        "gt_bbox": [paddle.to_tensor(given["boxes"][i, : counts[i]]) for i in own],
        "gt_class": [paddle.to_tensor(given["classes"][i, : counts[i], None]) for i in own],
    }


def main(name: str, epoch: str, weights: str, given_file: str, rate: str) -> None:
    """Take steps as they are asked for."""
    detector = model.build(CONFIGS[name])
    with np.load(weights) as loaded:
        model.load_weights(detector, dict(loaded))
    with np.load(given_file) as loaded:
        given = dict(loaded)
    training.add_training_parts(detector)
    head, aligned = detector.head, CONFIGS[name].head == "pico_head_v2"
    optimizer = training.OPTIMIZER(float(rate), detector)
    average = ModelEMA(detector)
    detector.train()
    images, wanted = paddle.to_tensor(given["images"]), fed(given, int(epoch), aligned)
    for line in sys.stdin:
        seconds: list[float] = []
        losses: dict[str, float] = {}
        for _ in range(int(line)):
            start = time.perf_counter()
            features = detector.neck(detector.backbone({"image": images}))
            terms = head.get_loss(head(features), wanted)
            paddle.add_n(list(terms.values())).backward()
            optimizer.step()
            optimizer.clear_grad()
            average.update()
            told = {training.TERMS[term]: float(value) for term, value in terms.items()}
            seconds.append(time.perf_counter() - start)
            losses = losses or told
        print(json.dumps({"seconds": seconds, "losses": losses}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
