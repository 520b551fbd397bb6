"""Random outputs of heads for two images of 64x64, and ground truth."""

import torch

from picodet.config import feature_map_sizes
from picodet.models.head import HeadOutput, HeadV2Output, Integral
from picodet.training.data.batch import Targets

SIZE = 64
BINS = 8
CLASSES = 3
INTEGRAL = Integral(BINS - 1).double()
TARGETS = Targets(
    boxes=torch.tensor(
        [[[6.3, 9.1, 30.2, 28.4], [20.7, 18.2, 61.9, 60.3]], [[40.1, 5.2, 50.9, 44.4], [0] * 4]]
    ),
    classes=torch.tensor([[1, 2], [0, 0]]),
    valid=torch.tensor([[True, True], [True, False]]),
)
NOTHING = TARGETS._replace(valid=torch.zeros(2, 2, dtype=torch.bool))


def _maps(channels, generator):
    return tuple(
        torch.randn(2, channels, h, w, generator=generator).double().requires_grad_()
        for h, w in feature_map_sizes((SIZE, SIZE))
    )


def head_output():
    """A seeded tensor in float64 that requires a gradient."""
    generator = torch.Generator().manual_seed(0)
    return HeadOutput(_maps(CLASSES, generator), _maps(4 * BINS, generator))


def head_v2_output():
    generator = torch.Generator().manual_seed(0)
    return HeadV2Output(*(_maps(n, generator) for n in (CLASSES, 1, 4 * BINS)))
