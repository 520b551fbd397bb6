"""Models with given weights, and the output of each of their layers."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from picodet.config import ModelConfig
from picodet.converter.match_tensors import match_tensors
from picodet.converter.names.name_tables import name_table
from picodet.models.picodet import PicoDet
from picodet.zoo.architectures import S
from scripts.fixtures import seeded

SMALL = replace(S, classes=("a", "b", "c"), input_size=(128, 128))


def seeded_checkpoint(config: ModelConfig) -> dict[str, np.ndarray]:
    return seeded.checkpoint(seeded.shapes(config))


def filled_model(config: ModelConfig, arrays: Mapping[str, np.ndarray]) -> PicoDet:
    """A model in eval mode with the weights of a ppdet checkpoint, converted."""
    model = PicoDet(config).eval()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    table = name_table(config.backbone, config.neck, config.head)
    conversion = match_tensors(arrays, shapes, table, config.input_size)
    assert conversion.ok, conversion.problems[:3]
    weights = {name: torch.from_numpy(value) for name, value in conversion.weights.items()}
    model.load_state_dict(weights)
    return model


def trace(model: PicoDet, images: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Name and output of every layer in the order of the calls; one entry per output tensor."""
    outputs: list[tuple[str, np.ndarray]] = []

    def hook(name: str):
        def keep(_module, _inputs, output):
            tensors = [output] if isinstance(output, Tensor) else output
            outputs.extend((name, tensor.numpy()) for tensor in tensors)

        return keep

    layers = [(name, layer) for name, layer in model.named_modules() if name not in ("", "head")]
    handles = [layer.register_forward_hook(hook(name)) for name, layer in layers]
    with torch.inference_mode():
        model(torch.from_numpy(images).to(next(model.parameters())))
    for handle in handles:
        handle.remove()
    return outputs
