"""The shapes of a model's tensors, without allocating them."""

from collections.abc import Mapping
from functools import lru_cache

import torch

from picodet.config import ModelConfig
from picodet.formats.meta import Kind
from picodet.models.picodet import BACKBONES, PicoDet

Shapes = Mapping[str, tuple[int, ...]]


@lru_cache(maxsize=64)
def shapes_of(config: ModelConfig, kind: Kind) -> tuple[Shapes, int]:
    """Shapes of the state_dict, in its order, and the number of learnable parameters."""
    with torch.device("meta"):
        model = (
            PicoDet(config)
            if kind == "detector"
            else BACKBONES[type(config.backbone)](config.backbone)
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return shapes, sum(parameter.numel() for parameter in model.parameters())
