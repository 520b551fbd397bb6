"""Writes the network as ONNX nodes: one per call of the traced model, named after its layers."""

from collections import Counter
from dataclasses import dataclass
from math import ceil
from typing import cast

from torch import Tensor, nn

from picodet.config import STRIDES
from picodet.exporter.onnx_builder import OnnxBuilder
from picodet.graphs.operators import Operator, Source
from picodet.graphs.tracing import trace
from picodet.models.folding import fold_batch_norm
from picodet.models.head import PicoHead
from picodet.models.layers import HARD_SIGMOID_SLOPE, SqueezeExcite
from picodet.models.picodet import PicoDet

Size = tuple[int, int] | None  # height and width of a map; None where the input size is dynamic
# these keep the shape; the default slope of a leaky ReLU is 0.01 in ONNX as in torch
SHAPE_PRESERVING = {
    "relu": "Relu",
    "leaky_relu": "LeakyRelu",
    "sigmoid": "Sigmoid",
    "mul": "Mul",
    "add": "Add",
}
# functions that heads call between their layers
FUNCTIONAL_KINDS = ("hardswish", "relu6", "leaky_relu", "avg_pool")


@dataclass(frozen=True)
class FeatureMap:
    """A tensor [B, channels, *size] of the graph."""

    name: str
    channels: int
    size: Size


@dataclass(frozen=True)
class PredictedMaps:
    """The predictors' outputs of each level, finest first."""

    logits: tuple[FeatureMap, ...]  # classes channels, before the sigmoid
    reg: tuple[FeatureMap, ...]  # 4 * bins channels, before the softmax: left, top, right, bottom
    alignment: tuple[FeatureMap, ...] = ()  # 1 channel, before the sigmoid; PicoHeadV2 only


def write_network(builder: OnnxBuilder, model: PicoDet, image: str, size: Size) -> PredictedMaps:
    """Write all nodes from the input `image` to the predictors, with batch norms folded."""
    graph_builder = _GraphBuilder(builder, model, image, size)
    for i in range(len(graph_builder.operators)):
        graph_builder.write(i)
    return graph_builder.predicted()


class _GraphBuilder:
    def __init__(self, builder: OnnxBuilder, model: PicoDet, image: str, size: Size) -> None:
        traced = trace(model.config)
        self.builder, self.model, self.weights = builder, model, model.state_dict()
        self.operators, self.calls = traced.operators, traced.calls
        self.maps = {Source(-1): FeatureMap(image, 3, size)}
        self.num_readers = Counter(source for each in traced.operators for source in each.sources)
        self.name_counts: dict[str, int] = {}  # how often each name was used

    def write(self, i: int) -> None:
        """Write the i-th operator."""
        operator = self.operators[i]
        first, *others = (self.maps[source] for source in operator.sources)
        if operator.kind == "split":
            for part, half in enumerate(self._split(i, first)):
                self.maps[Source(i, part)] = half
        elif operator.kind == "batch_norm":
            self.maps[Source(i)] = first  # folded into the convolution before it
        elif operator.kind == "conv":
            self.maps[Source(i)] = self._conv(i, first)
        else:
            self.maps[Source(i)] = self._other(i, first, others)

    def predicted(self) -> PredictedMaps:
        """The head's outputs, sorted into levels."""
        (head,) = (call for call in self.calls if call.path == "head")
        maps = [self.maps[source] for source in head.outputs]
        parts = [tuple(maps[i : i + len(STRIDES)]) for i in range(0, len(maps), len(STRIDES))]
        logits, *alignment, reg = parts
        return PredictedMaps(logits, reg, *alignment)

    def _other(self, i: int, first: FeatureMap, others: list[FeatureMap]) -> FeatureMap:
        builder, inputs = self.builder, [first.name, *(other.name for other in others)]
        name, channels, size = self._name(i, first), first.channels, first.size
        match self.operators[i].kind:
            case "hardswish":
                builder.hardswish(first.name, name)
            case "relu6":
                builder.add("Clip", [*inputs, builder.scalar(0.0), builder.scalar(6.0)], name)
            case "hardsigmoid":
                builder.add("HardSigmoid", inputs, name, alpha=self._slope(i), beta=0.5)
            case "shuffle":
                self._shuffle(first, name)
            case "concat":
                builder.add("Concat", inputs, name, axis=1)
                channels += sum(other.channels for other in others)
            case "max_pool":
                window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
                builder.add("MaxPool", inputs, name, **window)
                size = _downsampled(size, 2)
            case "other_avg_pool":  # at an odd edge torch divides by the number of existing cells
                window = {"kernel_shape": [2, 2], "strides": [2, 2]}
                builder.add("AveragePool", inputs, name, ceil_mode=1, count_include_pad=0, **window)
                size = _downsampled(size, 2)
            case "upsample":
                builder.upsample(first.name, name)
                size = size and (2 * size[0], 2 * size[1])
            case "avg_pool":
                builder.add("GlobalAveragePool", inputs, name)
                size = (1, 1)
            case kind:
                builder.add(SHAPE_PRESERVING[kind], inputs, name)
        return FeatureMap(name, channels, size)

    def _conv(self, i: int, x: FeatureMap) -> FeatureMap:
        """Write a convolution with the batch norm that follows it folded in."""
        operator, following = self.operators[i], self.operators[i + 1 : i + 2]
        layer = cast(nn.Conv2d, self._layer(operator))
        weight, bias = (self._tensors(operator).get(role) for role in ("weight", "bias"))
        if following and following[0].kind == "batch_norm":
            norm = cast(nn.BatchNorm2d, self._layer(following[0]))
            weight, bias = fold_batch_norm(
                layer.weight.detach(), self._tensors(following[0]), norm.eps
            )
        name, (stride, _), (kernel, _) = self._name(i, x), layer.stride, layer.kernel_size
        input_name = x.name
        # A tensor with other readers gets a name of its own here: NNCF 3.4 cuts the graph before a
        # layer by the tensor's name, and would cut the other readers too. The Identity costs
        # nothing: onnxruntime and OpenVINO remove it when they load the file.
        if self.num_readers[operator.sources[0]] > 1:
            input_name = self.builder.add("Identity", [input_name], f"{name}.input")
        constants = [
            self.builder.constant(array, f"{name}.{role}")
            for role, array in (("weight", weight), ("bias", bias))
        ]
        self.builder.add(
            "Conv",
            [input_name, *constants],
            name,
            group=layer.groups,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
        )
        return FeatureMap(name, layer.out_channels, _downsampled(x.size, stride))

    def _shuffle(self, x: FeatureMap, name: str) -> None:
        """Write a channel shuffle: the two halves of the channels, interleaved."""
        builder, half = self.builder, x.channels // 2
        if x.size:
            grouped = builder.reshape(x.name, [0, 2, half, *x.size], f"{name}.cut")
            swapped = builder.add("Transpose", [grouped], f"{name}.swapped", perm=[0, 2, 1, 3, 4])
            builder.reshape(swapped, [0, x.channels, *x.size], name)
        else:
            grouped = builder.reshape(x.name, [0, 2, half, -1], f"{name}.cut")
            swapped = builder.add("Transpose", [grouped], f"{name}.swapped", perm=[0, 2, 1, 3])
            shape = builder.add("Shape", [x.name], f"{name}.shape")
            builder.add("Reshape", [swapped, shape], name)

    def _split(self, i: int, x: FeatureMap) -> list[FeatureMap]:
        """Write a split: in halves within a block, in logits and reg after a predictor."""
        name, head = self._name(i, x), self.model.head
        if isinstance(head, PicoHead) and x.name.startswith("head."):
            sizes, names = head.split, [f"{x.name}.logits", f"{x.name}.reg"]
        else:
            sizes, names = [x.channels // 2] * 2, [f"{name}.shortcut", f"{name}.branch"]
        self.builder.split(x.name, sizes, 1, names)
        return [FeatureMap(part, count, x.size) for part, count in zip(names, sizes, strict=True)]

    def _layer(self, operator: Operator) -> nn.Module:
        """The layer whose weights an operator has."""
        return self.model.get_submodule(operator.weights["weight"].removesuffix(".weight"))

    def _tensors(self, operator: Operator) -> dict[str, Tensor]:
        """An operator's weights by role."""
        return {role: self.weights[name] for role, name in operator.weights.items()}

    def _slope(self, i: int) -> float:
        """The slope of a hard sigmoid, which is a layer or called by one."""
        module = self.model.get_submodule(self._path(i))
        return module.slope if isinstance(module, SqueezeExcite) else HARD_SIGMOID_SLOPE

    def _path(self, i: int) -> str:
        """The path of the layer that an operator is, or of the block that calls it."""
        callers = [call for call in self.calls if i in call.operators]
        return min(callers, key=lambda call: len(call.operators)).path

    def _name(self, i: int, x: FeatureMap) -> str:
        """The node's name: a layer's path, or the calling block's path and the operator's kind."""
        kind, name = self.operators[i].kind, self._path(i)
        if any(self.model.get_submodule(name).children()):
            path = x.name.rpartition(".")[0] if kind in FUNCTIONAL_KINDS else name
            name = f"{path}.{kind}"
        self.name_counts[name] = self.name_counts.get(name, 0) + 1
        return name if self.name_counts[name] == 1 else f"{name}_{self.name_counts[name]}"


def _downsampled(size: Size, stride: int) -> Size:
    """The size after a convolution or pooling with this stride, rounded up."""
    return size and (ceil(size[0] / stride), ceil(size[1] / stride))
