"""Counts the single weights, off by 1 %, that picodet-align detects in their own layer.

    python -m benchmarks.fault_injection.sensitivity --paddle-python PYTHON [--percent 1]

Considers every weight of every convolution of the pedestrian model, with ppdet's run of one image
as the reference. A convolution is linear: an error of a weight moves the output by that error times
the input. Prints for how many weights the greatest such change exceeds the layer's tolerance. The
Python of --paddle-python has ppdet. Weights and image are real with ../shared; without it, seeded
random numbers and an image of scikit-image.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.fault_injection.references import find_images, pairs
from picodet.alignment.align import align
from picodet.models import checkpoint
from picodet.models.picodet import PicoDet


def main() -> None:
    """Compare once, count, and print the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--paddle-python", type=Path)
    parser.add_argument("--percent", type=float, default=1.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image, pair = find_images(Path(folder), 1)[0], pairs(Path(folder), [])[0]
        model = checkpoint.load(pair.model)
        with pair.recorded(image, arguments.paddle_python) as recording:
            comparison = align(model, pair.model, recording)
            images = torch.from_numpy(recording.tensor(recording.index.input))
    allowed = {
        (layer.path, layer.call): layer.local.allowed for layer in comparison.layers if layer.local
    }
    detected = weights = 0
    for path, call, layer, x in convolutions(model, images):
        moved = layer.weight.abs() * max_input(layer, x) * arguments.percent / 100
        detected += int((moved > allowed[path, call]).sum())
        weights += moved.numel()
    print(
        f"{detected:,} of {weights:,} weights off by {arguments.percent:g} % are seen in their own "
        f"layer: {100 * detected / weights:.1f} % ({pair.reference.name}, {image.name})"
    )


def convolutions(model: PicoDet, images: Tensor) -> Iterator[tuple[str, int, nn.Conv2d, Tensor]]:
    """Every call of a convolution: its path, number, layer and input [1, C, H, W]."""
    found: list[tuple[str, int, nn.Conv2d, Tensor]] = []
    for path, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):

            def keep(layer: Any, args: tuple[Tensor], path: str = path) -> None:
                found.append((path, sum(path == other[0] for other in found), layer, args[0]))

            layer.register_forward_pre_hook(keep)
    with torch.inference_mode():
        model(images)
    yield from found


def max_input(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """The greatest input that each weight is multiplied by, in the shape of the weights."""
    window: Any = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    greatest = F.unfold(x.abs(), *window).amax(dim=2)  # [1, C * kh * kw]
    by_group = greatest.reshape(layer.groups, 1, *layer.weight.shape[1:])
    outputs = layer.out_channels // layer.groups
    return by_group.expand(-1, outputs, -1, -1, -1).reshape(layer.weight.shape)


if __name__ == "__main__":
    main()
