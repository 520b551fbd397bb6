"""Makes ppdet's training steps on given images, for benchmarks/speed/train.py.

    PYTHONPATH=. PYTHON benchmarks/baselines/ppdet_train.py NAME EPOCH WEIGHTS.npz GIVEN.npz LR

PYTHON has paddlepaddle and ppdet (`make reference`). Each line of the input is a number of steps to
make, answered by a line of JSON with the seconds of each and the losses of the first. A step is
that of ppdet/engine/trainer.py:596-641: forward, losses, backward, update, EMA.
"""

import json
import sys
import time

import numpy as np
import paddle
from ppdet.optimizer import ModelEMA

from picodet.alignment.paddle_side import model, training
from picodet.zoo.official import CONFIGS


def make_batch(arrays: dict[str, np.ndarray], epoch: int, aligned: bool) -> dict[str, object]:
    """What ppdet's reader returns besides the images: lists in 2021, padded arrays in 2022."""
    num_images = len(arrays["images"])
    common = {"im_id": paddle.arange(num_images)[:, None], "epoch_id": epoch}
    if aligned:
        return common | {
            "gt_bbox": paddle.to_tensor(arrays["boxes"]),
            "gt_class": paddle.to_tensor(arrays["classes"][..., None]),
            "pad_gt_mask": paddle.to_tensor(arrays["valid"].astype(np.float32)[..., None]),
        }
    counts = arrays["valid"].sum(axis=1)
    own = range(num_images)
    return common | {
        "gt_bbox": [paddle.to_tensor(arrays["boxes"][i, : counts[i]]) for i in own],
        "gt_class": [paddle.to_tensor(arrays["classes"][i, : counts[i], None]) for i in own],
    }


def main(name: str, epoch: str, weights: str, given_file: str, lr: str) -> None:
    """Make training steps as requested on standard input."""
    detector = model.build(CONFIGS[name])
    with np.load(weights) as loaded:
        model.load_weights(detector, dict(loaded))
    with np.load(given_file) as loaded:
        arrays = dict(loaded)
    training.add_training_parts(detector)
    head, aligned = detector.head, CONFIGS[name].head == "pico_head_v2"
    optimizer = training.OPTIMIZER(float(lr), detector)
    ema = ModelEMA(detector)
    detector.train()
    images, targets = paddle.to_tensor(arrays["images"]), make_batch(arrays, int(epoch), aligned)
    for line in sys.stdin:
        seconds: list[float] = []
        losses: dict[str, float] = {}
        for _ in range(int(line)):
            start = time.perf_counter()
            features = detector.neck(detector.backbone({"image": images}))
            terms = head.get_loss(head(features), targets)
            paddle.add_n(list(terms.values())).backward()
            optimizer.step()
            optimizer.clear_grad()
            ema.update()
            step_losses = {training.TERMS[term]: float(value) for term, value in terms.items()}
            seconds.append(time.perf_counter() - start)
            losses = losses or step_losses
        print(json.dumps({"seconds": seconds, "losses": losses}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
