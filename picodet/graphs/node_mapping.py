"""Maps the model's operators to those of a graph of the same network that may have faults.

Convolutions are matched by structure, whatever lies between them; what lies between is matched by
the convolutions before and after it. A missing or a different operator does not affect the others.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from picodet.errors import GraphError
from picodet.graphs.matching import (
    ANY_CONVOLUTION,
    COMMUTATIVE,
    Vertex,
    build_network,
    match_networks,
)
from picodet.graphs.operators import Operator, Source
from picodet.graphs.tracing import TracedModel

Shapes = dict[str, tuple[int, ...]]
MAX_SIZE_RATIO = 4  # vertices, relative to the model's
PairNumbers = Mapping[int, int]  # vertex that has a partner -> number of the pair


@dataclass(frozen=True)
class NodeMapping:
    """Operators of the model, by index, and their partners in the other graph."""

    tensor_names: Mapping[Source, str]  # the model's tensor -> its name there
    input_names: Mapping[int, Mapping[Source, str]]  # the names that the partner takes
    partners: Mapping[int, Operator]
    folded: Mapping[str, str]  # path of a convolution -> of the batch norm folded into it
    internal: frozenset[Source]  # tensors between those two, which the other graph does not have


def map_nodes(
    traced: TracedModel,
    theirs: Sequence[Operator],
    shapes: Shapes,
    image: str,
    other: str,
    exact: bool = False,
) -> NodeMapping:
    """Map the model's operators to `theirs`, whose outputs are names; errors call it `other`.

    Raises GraphError where the convolutions differ from the model's, or, if `exact`, any operator.
    """
    our_network, their_network = (
        build_network(traced.operators, traced.shapes),
        build_network(theirs, shapes),
    )
    names = [theirs[vertex.parts[-1]].name for vertex in their_network]
    if exact or len(their_network) > MAX_SIZE_RATIO * len(
        our_network
    ):  # too large for a PicoDet, and slow to map: this raises
        match_networks(our_network, their_network, names, other)
    partners: dict[int, Operator] = {}
    folded: dict[str, str] = {}
    internal: set[Source] = set()
    for i, j in _match_vertices(our_network, their_network, names, other).items():
        our, their = our_network[i].parts, [theirs[part] for part in their_network[j].parts]
        if len(our) == 2 and len(their) == 1 and "bias" in their[0].weights:
            conv, norm = (
                traced.operators[k].weights["weight"].removesuffix(".weight") for k in our
            )
            folded[conv] = norm
            internal.add(Source(our[0]))
        elif len(our) != len(their):
            raise GraphError(
                f"{their[-1].name} of {other} is {' and '.join(o.kind for o in their)}; in the "
                f"model it is {' and '.join(traced.operators[k].kind for k in our)}"
            )
        partners |= dict(zip(our, their * len(our), strict=False))
    tensor_names = {Source(-1): image} | {
        Source(k, index): name
        for k, partner in partners.items()
        for index, name in enumerate(partner.outputs)
        if Source(k) not in internal
    }
    after = {i for k in internal for i in partners if traced.operators[i].sources[0] == k}
    input_names = {
        k: _input_names(traced.operators[k], tensor_names, _source_names(partner, theirs, image))
        for k, partner in sorted(partners.items())
        if k not in after  # a folded batch norm has no input of its own
    }
    for of_one in input_names.values():  # tensors of operators without a partner
        tensor_names = of_one | tensor_names
    return NodeMapping(tensor_names, input_names, partners, folded, frozenset(internal))


def _match_vertices(
    ours: Sequence[Vertex], theirs: Sequence[Vertex], names: Sequence[str], other: str
) -> dict[int, int]:
    """Vertex -> partner, for all convolutions and all other vertices that have one."""
    (our_convs, our_indices), (their_convs, their_indices) = (
        _convolution_network(ours),
        _convolution_network(theirs),
    )
    found = _extend_pairs({}, our_convs, their_convs)
    if not len(found) == len(our_convs) == len(their_convs):
        found = match_networks(
            our_convs, their_convs, [names[j] for j in their_indices], other
        )  # raises GraphError with the reason
    return _extend_pairs({our_indices[i]: their_indices[j] for i, j in found.items()}, ours, theirs)


def _extend_pairs(
    known: Mapping[int, int], ours: Sequence[Vertex], theirs: Sequence[Vertex]
) -> dict[int, int]:
    """The known pairs, and all pairs that follow from them."""
    pairs, count = dict(known), -1
    while count < len(pairs):  # each new pair may lead to others
        count = len(pairs)
        for compute_colors in (_input_colors, _output_colors):
            palette: dict[object, int] = {}
            our = compute_colors(ours, {i: i for i in pairs}, palette)
            their = compute_colors(theirs, {j: i for i, j in pairs.items()}, palette)
            once = {color for color, n in Counter(their).items() if n == 1}
            once &= {color for color, n in Counter(our).items() if n == 1}
            index_of = {color: j for j, color in enumerate(their)}
            pairs |= {i: index_of[color] for i, color in enumerate(our) if color in once}
    return pairs


def _convolution_network(vertices: Sequence[Vertex]) -> tuple[list[Vertex], list[int]]:
    """The convolutions, whose sources are the nearest convolutions before; and their indices."""
    indices: list[int] = []
    found: list[Vertex] = []
    reached: list[set[int]] = []  # by vertex: the nearest convolutions up to it, -1 the image
    for i, vertex in enumerate(vertices):
        before = set().union(
            *(reached[s.operator] if s.operator >= 0 else {-1} for s in vertex.sources)
        )
        if vertex.shape:
            reached.append({len(found)})
            sources = tuple(map(Source, sorted(before)))
            found.append(Vertex(ANY_CONVOLUTION, vertex.shape, sources, vertex.parts))
            indices.append(i)
        else:
            reached.append(before)
    return found, indices


def _input_colors(
    vertices: Sequence[Vertex], pair_numbers: PairNumbers, palette: dict[object, int]
) -> list[int]:
    """Colors by the inputs, up to the nearest pairs before."""
    colors: list[int] = []
    for i, vertex in enumerate(vertices):
        inputs = [(colors[s.operator] if s.operator >= 0 else -1, s.index) for s in vertex.sources]
        if vertex.kind in COMMUTATIVE:
            inputs.sort()
        key: object = (vertex.kind, vertex.shape, tuple(inputs))
        key = ("pair", pair_numbers[i]) if i in pair_numbers else key
        colors.append(palette.setdefault(key, len(palette)))
    return colors


def _output_colors(
    vertices: Sequence[Vertex], pair_numbers: PairNumbers, palette: dict[object, int]
) -> list[int]:
    """Colors by the consumers, up to the nearest pairs after."""
    uses: list[list[tuple[int, int, int]]] = [[] for _ in vertices]
    colors = [0] * len(vertices)
    for i in reversed(range(len(vertices))):
        vertex = vertices[i]
        key: object = (vertex.kind, vertex.shape, tuple(sorted(uses[i])))
        key = ("pair", pair_numbers[i]) if i in pair_numbers else key
        colors[i] = palette.setdefault(key, len(palette))
        for position, source in enumerate(vertex.sources):
            if source.operator >= 0:
                at = 0 if vertex.kind in COMMUTATIVE else position
                uses[source.operator].append((colors[i], at, source.index))
    return colors


def _source_names(operator: Operator, theirs: Sequence[Operator], image: str) -> list[str]:
    return [
        theirs[source.operator].outputs[source.index] if source.operator >= 0 else image
        for source in operator.sources
    ]


def _input_names(
    operator: Operator, tensor_names: Mapping[Source, str], names: Sequence[str]
) -> dict[Source, str]:
    """The partner's inputs `names` by the operator's sources; of an addition by their producers."""
    if operator.kind not in COMMUTATIVE:
        return dict(zip(operator.sources, names, strict=False))
    found = {
        source: tensor_names[source]
        for source in operator.sources
        if tensor_names.get(source) in names
    }
    unknown = [source for source in operator.sources if source not in found]
    left = [name for name in names if name not in found.values()]
    return found | dict(zip(unknown, left, strict=False))
