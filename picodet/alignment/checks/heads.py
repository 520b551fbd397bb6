"""What a head puts out, put together from what its last layers do, and taken apart again."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from picodet.config import STRIDES, Head, ModelConfig
from picodet.models.head import AlignedOutput, HeadOutput, Output

LEVELS = range(len(STRIDES))
OUTPUTS: Mapping[Head, Callable[..., Output]] = {
    "pico_head": HeadOutput,
    "pico_head_v2": AlignedOutput,
}
# the layers whose outputs these are: one for both parts, or one for each
PREDICTOR = "head.predictors.{}"
PARTS = ("head.predictors.classes{}", "head.alignment.{}", "head.predictors.sides{}")


def head_output(head: Head, maps: Sequence[Tensor]) -> Output:
    """The maps of a head, all in a row, in their places."""
    levels = len(LEVELS)
    return OUTPUTS[head](*(tuple(maps[i : i + levels]) for i in range(0, len(maps), levels)))


def from_layers(config: ModelConfig, made: Callable[[str], Tensor | None]) -> Output | None:
    """made: what the layer with a path puts out, if that is known.

    None where one is not, or has other channels than the config says.
    """
    classes, sides = len(config.classes), 4 * (config.reg_max + 1)
    if config.head == "pico_head":
        whole = _levels(PREDICTOR, classes + sides, made)
        split = [x.split([classes, sides], dim=1) for x in whole or ()]
        return HeadOutput(*map(tuple, zip(*split, strict=True))) if split else None
    parts = [_levels(path, n, made) for path, n in zip(PARTS, (classes, 1, sides), strict=True)]
    known = [part for part in parts if part is not None]
    return AlignedOutput(*known) if len(known) == len(parts) else None


def by_layers(output: Output) -> dict[str, Tensor]:
    """What the layers put out that this was put together from, by their paths."""
    if isinstance(output, HeadOutput):
        joined = (torch.cat(pair, dim=1) for pair in zip(*output, strict=True))
        return {PREDICTOR.format(level): x for level, x in enumerate(joined)}
    return {
        path.format(level): x
        for path, part in zip(PARTS, output, strict=True)
        for level, x in enumerate(part)
    }


def in_double(output: Output) -> Output:
    """The same numbers."""
    return type(output)(*(tuple(x.double() for x in part) for part in output))


def _levels(
    path: str, channels: int, made: Callable[[str], Tensor | None]
) -> tuple[Tensor, ...] | None:
    found = [made(path.format(level)) for level in LEVELS]
    known = tuple(x for x in found if x is not None and x.ndim == 4 and x.shape[1] == channels)
    return known if len(known) == len(found) else None
