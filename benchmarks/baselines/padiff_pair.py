"""Runs PaDiff's auto_diff on ppdet's model and picodet's, with the same weights and input.

    PEERS/bin/python benchmarks/baselines/padiff_pair.py CHECKPOINT.pdparams MODEL.pth

peers.py tells how to make the environment, which also needs ppdet (pip install --no-deps
paddledet==2.6.0 and what it imports) and this checkout (PYTHONPATH).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import torch
from padiff import auto_diff
from torch import nn

import picodet
from picodet.alignment.paddle_side import model as ppdet_model
from picodet.formats import pdparams
from picodet.models.picodet import PicoDet


class Theirs(paddle.nn.Layer):
    """ppdet's backbone and neck with one input and, for PaDiff, a list of outputs."""

    def __init__(self, detector: paddle.nn.Layer) -> None:
        super().__init__()
        self.backbone, self.neck = detector.backbone, detector.neck

    def forward(self, images: paddle.Tensor) -> Any:
        """Backbone and neck; PaDiff cannot pair a head that decodes with one that does not."""
        return self.neck(self.backbone({"image": images}))


class Ours(nn.Module):
    """picodet's backbone and neck."""

    def __init__(self, model: PicoDet) -> None:
        super().__init__()
        self.backbone, self.neck = model.backbone, model.neck

    def forward(self, images: torch.Tensor) -> Any:
        """Backbone and neck."""
        return list(self.neck(self.backbone(images)))


def main(checkpoint: str, path: str) -> None:
    """Compare once and print the verdict."""
    model = picodet.load(path)
    detector = ppdet_model.build(model.config)
    ppdet_model.load_weights(detector, pdparams.read(Path(checkpoint)))
    theirs, ours = Theirs(detector), Ours(model)
    theirs.eval()
    ours.eval()
    images = np.random.RandomState(0).normal(size=(1, 3, *model.config.input_size)).astype("f4")
    inputs = {"images": paddle.to_tensor(images)}, {"images": torch.from_numpy(images)}
    options = {"atol": 1e-3, "rtol": 1e-3, "diff_phase": "forward", "compare_mode": "mean"}
    equal = auto_diff(theirs, ours, inputs, auto_weights=False, options=options)
    print("auto_diff:", "equal" if equal else "different")


if __name__ == "__main__":
    main(*sys.argv[1:])
