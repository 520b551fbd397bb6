"""Takes a normalization that was exported with the network off the front of its graph.

ppdet's `fuse_normalize` exports image * scale + bias before the first convolution, others subtract
and divide: the network's image is then not normalized, and its settings list no NormalizeImage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from picodet.config import Preprocessing
from picodet.graphs.graph import Graph, Node

KINDS = ("mul", "add", "sub", "div", "scale", "identity", "cast")
NOT_NORMALIZED = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1), is_scale=False)
UNIT_STD = 2.0  # a std below it is of values from 0 to 1; of bytes it is 50 or so
DIGITS = 6  # of a mean and a std as people write them; float32 keeps seven
Channels = np.ndarray  # [3] float64, RGB


@dataclass(frozen=True)
class Normalization:
    """What a graph does to its image before the first convolution: factor * image + offset."""

    factor: Channels
    offset: Channels
    output: str  # the tensor that is the network's image

    def after(self, stated: Preprocessing | None) -> Preprocessing:
        """The preprocessing that does the same before the network as `stated` and the graph.

        None for one that nobody states: the image is then of bytes, or of values from 0 to 1,
        whichever gives the usual numbers.
        """
        if stated is None:
            is_scale = bool((1 / self.factor).max() < UNIT_STD)
            stated = replace(NOT_NORMALIZED, interp=Preprocessing.interp, is_scale=is_scale)
        mean = np.array(stated.mean) - self.offset / self.factor * np.array(stated.std)
        std = np.array(stated.std) / self.factor
        if not stated.is_scale:  # the same of values from 0 to 1, if it is a number people write
            unit_mean, unit_std = np.round(mean / 255, DIGITS), np.round(std / 255, DIGITS)
            if np.allclose(unit_mean * 255, mean, 1e-5, 1e-3) and np.allclose(
                unit_std * 255, std, 1e-5
            ):
                return _with(replace(stated, is_scale=True), unit_mean, unit_std)
        return _with(stated, np.round(mean, DIGITS), np.round(std, DIGITS))


def _with(preprocessing: Preprocessing, mean: Channels, std: Channels) -> Preprocessing:
    (r, g, b), (std_r, std_g, std_b) = mean.tolist(), std.tolist()
    return replace(preprocessing, mean=(r, g, b), std=(std_r, std_g, std_b))


def take_normalization(graph: Graph) -> tuple[Graph, Normalization | None]:
    """The graph without the operators before its first convolution, and what they compute."""
    consumers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in dict.fromkeys(node.inputs):
            consumers.setdefault(name, []).append(node)
    factor, offset = np.ones(3), np.zeros(3)
    name, taken = graph.inputs[0], 0
    while len(consumers.get(name, [])) == 1 and consumers[name][0].kind in KINDS:
        node = consumers[name][0]
        step = _step(node, name, graph.constants)
        if step is None:
            break
        factor, offset = factor * step[0], offset * step[0] + step[1]
        name, taken = node.name, taken + (node.kind not in ("identity", "cast"))
    before_conv = all(node.kind == "conv" for node in consumers.get(name, []))
    if not taken or not before_conv or not (factor > 0).all():
        return graph, None
    renamed = tuple(
        replace(
            node, inputs=tuple(graph.inputs[0] if each == name else each for each in node.inputs)
        )
        for node in graph.nodes
    )
    return replace(graph, nodes=renamed), Normalization(factor, offset, name)


def _step(
    node: Node, image: str, constants: Mapping[str, np.ndarray]
) -> tuple[Channels, Channels] | None:
    """The factor and the offset of one operator on `image`; None for anything else."""
    zero, one = np.zeros(3), np.ones(3)
    if node.kind in ("identity", "cast"):
        return one, zero
    if node.kind == "scale":
        factor, bias = node.settings.get("factor", np.nan), node.settings.get("bias", 0.0)
        return one * factor, one * bias
    first, second = (*node.inputs, "", "")[:2]
    value = _channels(constants.get(second if first == image else first), node)
    if node.kind in ("sub", "div") and first != image:
        return None
    if value is None or (node.kind == "div" and not value.all()):
        return None
    steps = {"mul": (value, zero), "add": (one, value), "sub": (one, -value)}
    return steps[node.kind] if node.kind != "div" else (1 / value, zero)


def _channels(constant: np.ndarray | None, node: Node) -> Channels | None:
    """A constant of one number, or of one for each of three channels, as [3] float64."""
    if constant is None or constant.dtype.kind not in "fiu" or not np.isfinite(constant).all():
        return None
    values = constant.astype(np.float64)
    if values.size == 1:
        return np.full(3, values.item())
    aligned = values.ndim == 1 and node.settings.get("axis") == 1
    if values.size == 3 and (aligned or values.shape[-3:] == (3, 1, 1)):
        return values.ravel()
    return None
