"""A block that is wrong between its layers: its activations, products, sums and their order.

It computes with tensors that the reference has too: its own input, and the outputs of its layers.
Common operations are applied to those, to find the one that gives the model's result and the one
that gives the reference's; where the two differ, that is the cause.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional as F

from picodet.models.layers import hard_sigmoid

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "hard-swish": F.hardswish,
    "ReLU": F.relu,
    "ReLU6": F.relu6,
    "SiLU (swish)": F.silu,
    "leaky ReLU (0.1)": lambda x: F.leaky_relu(x, 0.1),
    "leaky ReLU (0.01)": F.leaky_relu,
    "GELU": F.gelu,
    "Mish": F.mish,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hard-swish twice": lambda x: F.hardswish(F.hardswish(x)),
}
GATES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "a hard-sigmoid of slope 0.1666667 (Paddle's, in float32)": hard_sigmoid,
    "a hard-sigmoid of slope 1/6": lambda x: torch.clamp(x / 6 + 0.5, 0, 1),
    "a hard-sigmoid of slope 0.2": lambda x: torch.clamp(x * 0.2 + 0.5, 0, 1),
    "a sigmoid": torch.sigmoid,
    "no gate function": lambda x: x,
    "a ReLU": F.relu,
}


def explain(
    produced: Tensor,
    reference: Tensor,
    sources: Mapping[str, Tensor],
    nearly_equal: Callable[[Tensor, Tensor], bool],
) -> str | None:
    """What the model computes where the reference computes something else; None if not found.

    produced and reference: the same tensor of the model and of the reference; sources: the
    reference's tensors that it may be computed from, by name; nearly_equal: whether two tensors
    differ by rounding only.
    """
    if text := _reordered(produced, reference):
        return text
    found = expected = None
    for what, value in _operations(produced, reference, sources):
        if found is None and nearly_equal(value, produced):
            found = what
        if expected is None and nearly_equal(value, reference):
            expected = what
        if found and expected:
            break
    if found and expected:
        return f"{found}; the reference has {expected}"
    if expected:
        return f"the reference has {expected}; the model has something else"
    return None


def _operations(
    produced: Tensor, reference: Tensor, sources: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    shapes = {produced.shape, reference.shape}
    shape = reference.shape
    same_shape = {name: x for name, x in sources.items() if x.shape in shapes}
    for name, x in same_shape.items():
        yield f"{name} as it is", x
        for activation, function in ACTIVATIONS.items():
            yield f"{activation} after {name}", function(x)
    gates = {
        name: x
        for name, x in sources.items()
        if x.ndim == len(shape) == 4 and x.shape[1] == shape[1] and x.shape[2:] == (1, 1)
    }
    for name, x in same_shape.items():
        for gate_name, gate in gates.items():
            for what, function in GATES.items():
                yield f"{name} times {what} of {gate_name}", x * function(gate)
                yield f"{name} plus {what} of {gate_name}", x + function(gate)
    for (first, x), (second, y) in _pairs(same_shape):
        yield f"{first} plus {second}", x + y
        yield f"the mean of {first} and {second}", (x + y) / 2
        yield f"{first} times {second}", x * y
        yield f"the greater of {first} and {second}", torch.maximum(x, y)
        yield f"{first} minus {second}", x - y
    yield from _concatenated(shape, sources)


def _pairs(
    tensors: Mapping[str, Tensor],
) -> Iterator[tuple[tuple[str, Tensor], tuple[str, Tensor]]]:
    items = list(tensors.items())
    for i, first in enumerate(items):
        for second in items[i + 1 :]:
            if first[1].shape == second[1].shape:
                yield first, second


def _concatenated(shape: torch.Size, sources: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Two sources, or a source and half of another, concatenated or shuffled."""
    maps = {name: x for name, x in sources.items() if x.shape[2:] == shape[2:]}
    for name in list(maps):
        first, second = maps[name].chunk(2, dim=1) if maps[name].shape[1] > 1 else (None, None)
        if first is not None and second is not None:
            maps[f"the first half of {name}"] = first
            maps[f"the second half of {name}"] = second
    for (first_name, x), (second_name, y) in permutations(maps.items(), 2):
        if x.shape[1] + y.shape[1] == shape[1]:
            text, concatenated = f"{first_name} and then {second_name}", torch.cat([x, y], dim=1)
            yield f"the channels of {text}", concatenated
            if concatenated.shape[1] % 2 == 0:
                yield f"the channels of {text}, shuffled", _shuffled(concatenated, 2)
                yield (
                    f"the channels of {text}, shuffled the wrong way",
                    _shuffled(concatenated, shape[1] // 2),
                )


def _shuffled(x: Tensor, groups: int) -> Tensor:
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _reordered(produced: Tensor, reference: Tensor) -> str | None:
    """How the model has the reference's channels, rows or columns in another order; else None."""
    if produced.shape != reference.shape or produced.ndim != 4 or torch.equal(produced, reference):
        return None
    for what, moved in (
        ("mirrored, left to right", produced.flip(3)),
        ("upside down", produced.flip(2)),
        ("rows and columns are exchanged", produced.transpose(2, 3)),
        ("the channels are in reverse order", produced.flip(1)),
        ("the two halves of the channels are exchanged", produced.roll(produced.shape[1] // 2, 1)),
    ):
        if moved.shape == reference.shape and torch.equal(moved, reference):
            return what
    return _permuted(produced, reference)


def _permuted(produced: Tensor, reference: Tensor) -> str | None:
    channels, expected = ([c.numpy().tobytes() for c in x[0]] for x in (produced, reference))
    positions = {channel: i for i, channel in enumerate(expected)}
    if len(positions) < len(expected) or set(channels) != positions.keys():
        return None
    moved = [
        (i, positions[channel]) for i, channel in enumerate(channels) if positions[channel] != i
    ]
    some = ", ".join(f"{i} is the reference's {there}" for i, there in moved[:3])
    return f"{len(moved)} channels are in another order: {some}" + (" .." if len(moved) > 3 else "")
