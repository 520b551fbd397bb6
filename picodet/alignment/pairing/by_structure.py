"""Pairs the operators and weights of a static graph with picodet's layers and tensors."""

from collections.abc import Iterator

from picodet.alignment.pairing.pairs import FoldedConvBN, PairedCall, Pairing
from picodet.alignment.recording.index import METADATA_PROJECT, Index
from picodet.alignment.result import Unpaired
from picodet.config import ModelConfig
from picodet.errors import AlignmentError
from picodet.graphs.matching import Vertex, build_network, match_networks
from picodet.graphs.operators import Operator, Source, TensorKey
from picodet.graphs.tracing import TracedModel, trace
from picodet.graphs.weights import INTEGRAL_PROJECT, find_project


def pair_by_structure(config: ModelConfig, index: Index) -> Pairing:
    """Pair a PicoDet with the recording of a static graph, by structure alone.

    Raises AlignmentError where the graph is another network.
    """
    traced = trace(config)
    stored = {weight.name: index.tensors[weight.key].shape for weight in index.weights}
    vertices = build_network(traced.operators, traced.shapes)
    reference = build_network(index.operators, stored)
    names = [index.operators[vertex.parts[-1]].name for vertex in reference]
    partners = match_networks(vertices, reference, names)
    pairs = _PairBuilder(traced, index)
    for i, j in partners.items():
        pairs.add(vertices[i], reference[j])
    metadata_weights = {INTEGRAL_PROJECT: METADATA_PROJECT} if METADATA_PROJECT in stored else {}
    weights = {**pairs.weights, **metadata_weights, **find_project(traced, index.operators)}
    known = {name for value in weights.values() for name in _names(value)}
    # operators behind the heads use anchor points and strides, which are compared as decoding
    used = {
        name
        for vertex in reference
        for part in vertex.parts
        for name in index.operators[part].weights.values()
    }
    return Pairing(
        calls=tuple(pairs.calls()),
        weights={name: weights[name] for name in traced.shapes if name in weights},
        unpaired=tuple(
            Unpaired("reference", name, "tensor") for name in stored if name in used - known
        ),
    )


class _PairBuilder:
    """Collects the operators of the model and their partners in the reference."""

    def __init__(self, traced: TracedModel, index: Index) -> None:
        self.traced = traced
        self.index = index
        self.partners: dict[int, Operator] = {}  # by the index of the model's operator
        self.folded: dict[str, str] = {}  # path of a convolution -> path of its batch norm
        self.inner: set[int] = set()  # those convolutions, whose output the reference lacks
        self.weights: dict[str, str | FoldedConvBN] = {}

    def add(self, vertex: Vertex, partner_vertex: Vertex) -> None:
        operators = [self.traced.operators[i] for i in vertex.parts]
        partners = [self.index.operators[i] for i in partner_vertex.parts]
        if len(operators) == 2 and len(partners) == 1 and "bias" in partners[0].weights:
            self._fold(vertex.parts, partners[0])
        elif len(operators) != len(partners):
            raise AlignmentError(
                f"{partners[-1].name} of the reference is a {_describe_kinds(partners)}; "
                f"{_layer_of(operators[0])} of the model is a {_describe_kinds(operators)}"
            )
        else:
            for i, operator, partner in zip(vertex.parts, operators, partners, strict=True):
                self.partners[i] = partner
                for role in operator.weights.keys() & partner.weights.keys():
                    self.weights[operator.weights[role]] = partner.weights[role]

    def _fold(self, parts: tuple[int, ...], partner: Operator) -> None:
        conv, bn = (self.traced.operators[i] for i in parts)
        folded = FoldedConvBN(
            partner.weights["weight"], partner.weights["bias"], _layer_of(conv), _layer_of(bn)
        )
        self.partners |= dict.fromkeys(parts, partner)
        self.inner.add(parts[0])
        self.folded[folded.conv] = folded.bn
        self.weights |= dict.fromkeys((*conv.weights.values(), *bn.weights.values()), folded)

    def calls(self) -> Iterator[PairedCall]:
        for call in self.traced.calls:
            yield PairedCall(
                call.path,
                call.number,
                call.type,
                self.partners[call.outputs[-1].operator].name,
                tuple(map(self._key, call.inputs)),
                tuple(map(self._key, call.outputs)),
                self.folded.get(call.path),
            )

    def _key(self, source: Source) -> TensorKey | None:
        if source.operator < 0:
            return self.index.input
        if source.operator in self.inner:
            return None
        partner = self.partners[source.operator]
        if source.index >= len(partner.outputs):
            raise AlignmentError(
                f"{partner.name} of the reference has {len(partner.outputs)} outputs; expected at "
                f"least {source.index + 1}, as in the model"
            )
        return partner.outputs[source.index]


def _names(value: str | FoldedConvBN) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else (value.weight, value.bias)


def _layer_of(operator: Operator) -> str:
    """The path of the layer that an operator with weights belongs to."""
    return operator.weights["weight"].removesuffix(".weight")


def _describe_kinds(operators: list[Operator]) -> str:
    kinds = " and ".join(operator.kind for operator in operators)
    return kinds + (" with a bias" if "bias" in operators[0].weights else " without a bias")
