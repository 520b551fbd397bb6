"""A network as a graph of operators, and one canonical form of what exporters write differently.

Paddle's programs in both file formats and the ONNX files made from them describe a network with
different operators: a bias is an addition or part of its convolution, a hard-swish is one operator
or four, a reshape takes its shape from a constant or from six operators that compute it. After
`canonicalize` two graphs of one network are equal.

Kinds after that: conv, batch_norm, hardswish, relu, relu6, leaky_relu, hardsigmoid, sigmoid, sqrt,
softmax, mul, add, div, scale, concat, split, shuffle, max_pool, avg_pool (global), other_avg_pool,
upsample, reshape, transpose, matmul, nms. Other operators keep their exporter's name.

NumPy only, as Paddle's process has no torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from picodet.errors import GraphError
from picodet.graphs.operators import Operator, Source, TensorKey

# swap the two axes that the channels were split into, with height and width apart or joined
SHUFFLE_PERMUTATIONS = ((0, 2, 1, 3, 4), (0, 2, 1, 3))
# never take constants only, in any network
NEEDS_TENSOR_INPUT = ("conv", "batch_norm", "split", "sigmoid", "sqrt")
# the hardsigmoid in a hard-swish, in float32; squeeze-and-excitation has the slope 0.1666667
HARDSWISH_GATE = {"slope": float(np.float32(1 / 6)), "offset": 0.5}


@dataclass(frozen=True)
class Node:
    """One operator; tensors are names, `weights` gives the names of constants by role.

    Settings, where they are known: `stride`, `dilation` (down, across), `padding` (top, left,
    bottom, right) and `groups` of a conv, `epsilon` of a batch_norm, `shape` of a reshape,
    `permutation` of a transpose, `low` and `high` of a clip, `slope` and `offset` of a hardsigmoid,
    `sections` of a split (their sizes), `axis` at which the second operand of an add is aligned.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.outputs[0]


@dataclass(frozen=True)
class Graph:
    """Operators in a topological order. The image is the first of the inputs."""

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, np.ndarray]
    is_partial: bool = False  # what follows the network has loops or branches, and was left out

    def producers(self) -> dict[str, Node]:
        return {output: node for node in self.nodes for output in node.outputs}


def canonicalize(graph: Graph) -> Graph:
    """The same network in canonical operators, up to its outputs or, if it has one, to its NMS.

    Raises GraphError for an invalid graph: a tensor written twice or read before it is written, or
    a convolution without a constant weight.
    """
    canonicalizer = _Canonicalizer(graph)
    for node in graph.nodes:
        canonicalizer.add(node)
    return canonicalizer.build()


def to_operators(graph: Graph, keys: Mapping[str, TensorKey]) -> tuple[Operator, ...]:
    """A canonical graph as a recording stores it; `keys` has the key of every node's outputs."""
    sources = {name: Source(-1, i) for i, name in enumerate(graph.inputs)}
    found = []
    for i, node in enumerate(graph.nodes):
        sources |= {name: Source(i, j) for j, name in enumerate(node.outputs)}
        found.append(
            Operator(
                node.kind,
                node.name,
                tuple(sources[name] for name in node.inputs),
                tuple(keys[name] for name in node.outputs),
                dict(node.weights),
            )
        )
    return tuple(found)


def _is_relu6(node: Node) -> bool:
    return node.kind == "clip" and (node.settings.get("low"), node.settings.get("high")) == (0, 6)


class _Canonicalizer:
    """Rewrites nodes one by one; build() drops those that are no longer needed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.external = {*graph.inputs, *graph.constants}
        self.nodes: list[Node] = []
        self.producers: dict[str, Node] = {}
        self.constants = dict(graph.constants)
        self.origins: dict[str, str] = {}  # reshaped constant -> constant
        self.aliases: dict[str, str] = {}  # output of an identity -> its input

    def add(self, node: Node) -> None:
        for name in node.outputs:
            if name in self.producers or name in self.aliases or name in self.external:
                raise GraphError(
                    f"the graph writes the tensor {name} twice, the second time by {node.kind}; "
                    "its first value cannot be compared"
                )
        node = replace(
            node,
            inputs=tuple(self.aliases.get(name, name) for name in node.inputs),
            weights={role: self.aliases.get(name, name) for role, name in node.weights.items()},
        )
        if node.kind == "conv":
            self._check_weight(node)
        if node.kind == "identity":
            self.aliases[node.name] = node.inputs[0]
        elif node.kind == "reshape" and node.inputs[0] in self.constants:
            self._reshape_constant(node)
        else:
            rewrites = (self._hardswish, self._hardswish_gate, self._fold_bias, self._shuffle)
            node = next((new for rewrite in rewrites if (new := rewrite(node))), node)
            self.nodes.append(node)
            self.producers |= dict.fromkeys(node.outputs, node)

    def build(self) -> Graph:
        outputs = tuple(self.aliases.get(name, name) for name in self.graph.outputs)
        nms = [node.name for node in self.nodes if node.kind == "nms"]
        needed = set(nms or outputs)
        nodes = []
        for node in map(self._without_constants, reversed(self.nodes)):
            if needed & set(node.outputs):
                needed |= set(node.inputs)
                nodes.append(replace(node, kind="relu6") if _is_relu6(node) else node)
        nodes.reverse()
        available = set(self.graph.inputs)
        for node in nodes:
            for name in node.inputs:
                if name not in available:
                    raise GraphError(
                        f"{node.kind} {node.name} takes {name}, which no operator before it makes"
                    )
            if node.kind in NEEDS_TENSOR_INPUT and not node.inputs:
                raise GraphError(f"{node.kind} {node.name} takes only constants")
            available |= set(node.outputs)
        weights = {name for node in nodes for name in node.weights.values()}
        constants = {name: self.constants[name] for name in sorted(weights)}
        return replace(self.graph, nodes=tuple(nodes), outputs=outputs, constants=constants)

    def _check_weight(self, conv: Node) -> None:
        name = conv.weights.get("weight", "")
        if name not in self.constants:
            raise self._not_constant(conv, "weight", name)
        if self.constants[name].ndim != 4:
            raise GraphError(
                f"the weight of conv {conv.name} has the shape {list(self.constants[name].shape)}; "
                "four dimensions are expected"
            )

    def _not_constant(self, node: Node, role: str, name: str) -> GraphError:
        return GraphError(
            f"the {role} of {node.kind} {node.name}, {name}, is not a constant; expected an export "
            "in float32, neither quantized nor encrypted"
        )

    def _reshape_constant(self, node: Node) -> None:
        """Reshape a constant, as exporters do with a bias before they add it."""
        source, shape = node.inputs[0], node.settings.get("shape")
        if shape is None:
            raise GraphError(f"reshape {node.name} of the constant {source}: unknown shape")
        try:
            self.constants[node.name] = self.constants[source].reshape(shape)
        except ValueError as error:
            raise GraphError(f"reshape {node.name} of the constant {source}: {error}") from error
        self.external.add(node.name)
        self.origins[node.name] = self.origins.get(source, source)

    def _hardswish(self, node: Node) -> Node | None:
        """A hard-swish from x * clip(x + 3, 0, 6) / 6."""
        if node.kind != "div" or not self._is_number(node.inputs[-1], 6):
            return None
        for x, clipped in self._operands(node.inputs[0], "mul"):
            clip = self._producer(clipped, "clip")
            if clip and (clip.settings.get("low"), clip.settings.get("high")) == (0, 6):
                for shifted, three in self._operands(clip.inputs[0], "add"):
                    if shifted == x and self._is_number(three, 3):
                        return Node("hardswish", (x,), node.outputs)
        return None

    def _hardswish_gate(self, node: Node) -> Node | None:
        """A hard-swish from x * hardsigmoid(x); a squeeze-and-excitation's has another slope."""
        if node.kind == "mul" and len(node.inputs) == 2:
            for x, gate in (node.inputs, node.inputs[::-1]):
                sigmoid = self._producer(gate, "hardsigmoid")
                if sigmoid and sigmoid.inputs == (x,) and sigmoid.settings == HARDSWISH_GATE:
                    return Node("hardswish", (x,), node.outputs)
        return None

    def _fold_bias(self, node: Node) -> Node | None:
        """A convolution with a bias, from one and a constant that is added to its channels."""
        if node.kind != "add" or len(node.inputs) != 2:
            return None
        for result, bias in (node.inputs, node.inputs[::-1]):
            conv = self._producer(result, "conv")
            if conv and bias in self.constants and "bias" not in conv.weights:
                shape = self.constants[bias].shape
                if len(shape) == 1 and node.settings.get("axis") == 1:
                    shape = (*shape, 1, 1)
                channels = self.constants[conv.weights["weight"]].shape[0]
                if shape in ((channels, 1, 1), (1, channels, 1, 1)):
                    weights = {**conv.weights, "bias": self.origins.get(bias, bias)}
                    return replace(conv, outputs=node.outputs, weights=weights)
        return None

    def _shuffle(self, node: Node) -> Node | None:
        """A channel shuffle, from reshape, transpose and reshape."""
        transpose = self._producer(node.inputs[0], "transpose") if node.kind == "reshape" else None
        if transpose and transpose.settings.get("permutation") in SHUFFLE_PERMUTATIONS:
            cut = self._producer(transpose.inputs[0], "reshape")
            return cut and Node("shuffle", cut.inputs, node.outputs)
        return None

    def _without_constants(self, node: Node) -> Node:
        """Move constants from the inputs to the weights; single numbers are dropped."""
        weights = {role: self.origins.get(name, name) for role, name in node.weights.items()}
        for role, name in weights.items():
            if name not in self.constants:
                raise self._not_constant(node, role, name)
        inputs = []
        for i, name in enumerate(node.inputs):
            if name not in self.constants:
                inputs.append(name)
            elif self.constants[name].size > 1:
                weights[f"input{i}"] = self.origins.get(name, name)
        return replace(node, inputs=tuple(inputs), weights=weights)

    def _producer(self, name: str, kind: str) -> Node | None:
        node = self.producers.get(name)
        return node if node and node.kind == kind else None

    def _operands(self, name: str, kind: str) -> Iterator[tuple[str, str]]:
        """The two operands of a commutative operator, in both orders."""
        node = self._producer(name, kind)
        if node and len(node.inputs) == 2:
            yield node.inputs[0], node.inputs[1]
            yield node.inputs[1], node.inputs[0]

    def _is_number(self, name: str, number: float) -> bool:
        constant = self.constants.get(name)
        return constant is not None and constant.size == 1 and constant.item() == number
