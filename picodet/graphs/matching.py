"""Finds the operators of one graph in another, by structure alone.

An operator gets a color from its kind, the shape of its weight and the colors of its inputs, and
another from those of its consumers. Operators of which both are equal have the same place in
the same network, whatever their names and order.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from picodet.errors import GraphError
from picodet.graphs.operators import Operator, Source

Shape = tuple[int, ...]
Color = int
ANY_CONVOLUTION = "convolution"  # kind of all vertices of a network reduced to its convolutions
COMMUTATIVE = ("add", "mul", ANY_CONVOLUTION)


@dataclass(frozen=True)
class Vertex:
    """An operator, or a convolution with the batch norm that follows it, if nothing else does.

    They are one vertex because a reference may have folded one into the other.
    """

    kind: str
    shape: Shape  # of the weight, () for none
    sources: tuple[Source, ...]  # their `operator` is a vertex; -1 is the image
    parts: tuple[int, ...]  # indices of the operators


def build_network(operators: Sequence[Operator], shapes: dict[str, Shape]) -> tuple[Vertex, ...]:
    """The vertices from the image to the predictors; decoding and NMS are left out."""
    used = _ancestors(operators, find_predictors(operators))
    users = Counter(s.operator for i in used for s in operators[i].sources)
    vertices: list[Vertex] = []
    vertex_of: dict[int, int] = {-1: -1}  # operator -> the vertex that has its output
    for i in used:
        operator = operators[i]
        source_index = operator.sources[0].operator if operator.sources else -1
        if operator.kind == "batch_norm" and source_index >= 0:
            conv = vertices[vertex_of[source_index]]
            if conv.parts == (source_index,) and conv.kind == "conv" and users[source_index] == 1:
                vertex_of[i] = vertex_of[source_index]
                vertices[vertex_of[i]] = Vertex(
                    conv.kind, conv.shape, conv.sources, (source_index, i)
                )
                continue
        sources = tuple(Source(vertex_of[s.operator], s.index) for s in operator.sources)
        shape = shapes[operator.weights["weight"]] if "weight" in operator.weights else ()
        vertex_of[i] = len(vertices)
        vertices.append(Vertex(operator.kind, shape, sources, (i,)))
    return tuple(vertices)


def match_networks(
    ours: Sequence[Vertex],
    theirs: Sequence[Vertex],
    names: Sequence[str],
    other: str = "the reference",
) -> dict[int, int]:
    """The index of the partner in `theirs` of each vertex of `ours`.

    names: those of `theirs`, and other: that of the graph, for errors. Raises GraphError where a
    vertex of either has no partner or several.
    """
    palette: dict[object, Color] = {}
    our_inputs, their_inputs = _input_colors(ours, palette), _input_colors(theirs, palette)
    our_outputs, their_outputs = _output_colors(ours, palette), _output_colors(theirs, palette)
    our_colors = list(zip(our_inputs, our_outputs, strict=True))
    their_colors = list(zip(their_inputs, their_outputs, strict=True))
    if Counter(our_colors) != Counter(their_colors):
        # a fault changes input colors only after it, output colors everywhere before it
        unmatched = _unmatched(theirs, their_inputs, our_inputs) or _unmatched(
            theirs, their_colors, our_colors
        )
        missing = _unmatched(ours, our_inputs, their_inputs) or _unmatched(
            ours, our_colors, their_colors
        )
        raise GraphError(
            f"{other} is another network: {_count_differences(ours, theirs)}"
            f"first without a partner: {_describe_first(unmatched, theirs, names)} of {other}, "
            f"{_describe_first(missing, ours, [''] * len(ours))} of the model"
        )
    vertex_of = {color: i for i, color in enumerate(their_colors)}
    if len(vertex_of) < len(theirs):
        twice = next(i for i, color in enumerate(their_colors) if vertex_of[color] != i)
        raise GraphError(
            f"{names[twice]} and {names[vertex_of[their_colors[twice]]]} of {other} have "
            "the same place in the network and cannot be distinguished"
        )
    return {i: vertex_of[color] for i, color in enumerate(our_colors)}


def find_predictors(operators: Sequence[Operator]) -> list[int]:
    """Indices of the predictors: convolutions that no other follows, with what belongs to them.

    That is a batch norm, and in a head of 2021 the split into logits and reg.
    """
    followed: set[int] = set()  # operators that a convolution follows
    for i in reversed(range(len(operators))):
        if operators[i].kind == "conv" or i in followed:
            followed |= {source.operator for source in operators[i].sources}
    last = {i for i, o in enumerate(operators) if o.kind == "conv" and i not in followed}
    for kind in ("batch_norm", "split"):
        for i, operator in enumerate(operators):
            source_index = operator.sources[0].operator if operator.sources else -1
            if operator.kind == kind and source_index in last:
                last.remove(source_index)
                last.add(i)
    return sorted(last)


def _ancestors(operators: Sequence[Operator], predictors: Iterable[int]) -> list[int]:
    """Indices of `predictors` and of all operators that lead to them, in order."""
    included = set(predictors)
    for i in reversed(range(len(operators))):
        if i in included:
            included |= {source.operator for source in operators[i].sources}
    return sorted(included - {-1})


def _input_colors(vertices: Sequence[Vertex], palette: dict[object, Color]) -> list[Color]:
    colors: list[Color] = []
    for vertex in vertices:
        inputs = [
            (colors[source.operator] if source.operator >= 0 else -1, source.index)
            for source in vertex.sources
        ]
        if vertex.kind in COMMUTATIVE:
            inputs.sort()
        key = ("down", vertex.kind, vertex.shape, tuple(inputs))
        colors.append(palette.setdefault(key, len(palette)))
    return colors


def _output_colors(vertices: Sequence[Vertex], palette: dict[object, Color]) -> list[Color]:
    uses: list[list[tuple[Color, int, int]]] = [[] for _ in vertices]
    colors = [0] * len(vertices)
    for i in reversed(range(len(vertices))):
        vertex = vertices[i]
        key = ("up", vertex.kind, vertex.shape, tuple(sorted(uses[i])))
        colors[i] = palette.setdefault(key, len(palette))
        for position, source in enumerate(vertex.sources):
            if source.operator >= 0:
                at = 0 if vertex.kind in COMMUTATIVE else position
                uses[source.operator].append((colors[i], at, source.index))
    return colors


def _unmatched(
    vertices: Sequence[Vertex], colors: Sequence[object], others: Sequence[object]
) -> list[int]:
    remaining = Counter(others)
    found = []
    for i in range(len(vertices)):
        remaining[colors[i]] -= 1
        if remaining[colors[i]] < 0:
            found.append(i)
    return found


def _count_differences(ours: Sequence[Vertex], theirs: Sequence[Vertex]) -> str:
    our, their = (Counter(vertex.kind for vertex in side) for side in (ours, theirs))
    differing = [
        f"{their[kind]} {kind} where the model has {our[kind]}"
        for kind in sorted(our | their)
        if our[kind] != their[kind]
    ]
    return ", ".join(differing) + "; " if differing else ""


def _describe_first(found: Sequence[int], vertices: Sequence[Vertex], names: Sequence[str]) -> str:
    if not found:
        return "none"
    vertex = vertices[found[0]]
    shape = f" {list(vertex.shape)}" if vertex.shape else ""
    return f"{vertex.kind}{shape} {names[found[0]]}".rstrip()
