"""Finds the operators of one graph in another, by structure alone.

An operator gets a colour from its kind, the shape of its weight and the colours of all that goes
into it, and another from all that is made of it. Where both are equal the operators are the same
place of the same network, whatever they are called and in whatever order they stand.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from picodet.errors import GraphError
from picodet.graphs.operators import Operator, Source

Shape = tuple[int, ...]
Colour = int
WEIGHTED = "convolution"  # of a network without what lies between
COMMUTATIVE = ("add", "mul", WEIGHTED)


@dataclass(frozen=True)
class Vertex:
    """An operator, or a convolution together with the batch norm behind it, if that takes all.

    Together, because a reference may have folded one into the other.
    """

    kind: str
    shape: Shape  # of the weight, () for none
    sources: tuple[Source, ...]  # numbers of vertices; -1 for the picture
    parts: tuple[int, ...]  # numbers of the operators


def network(operators: Sequence[Operator], shapes: dict[str, Shape]) -> tuple[Vertex, ...]:
    """What lies between the picture and what the heads put out, before anything is decoded."""
    used = _ancestors(operators, ends(operators))
    users = Counter(s.operator for i in used for s in operators[i].sources)
    vertices: list[Vertex] = []
    where: dict[int, int] = {-1: -1}  # number of the vertex that makes an operator's output
    for i in used:
        operator = operators[i]
        before = operator.sources[0].operator if operator.sources else -1
        if operator.kind == "batch_norm" and before >= 0:
            conv = vertices[where[before]]
            if conv.parts == (before,) and conv.kind == "conv" and users[before] == 1:
                where[i] = where[before]
                vertices[where[i]] = Vertex(conv.kind, conv.shape, conv.sources, (before, i))
                continue
        sources = tuple(Source(where[s.operator], s.index) for s in operator.sources)
        shape = shapes[operator.weights["weight"]] if "weight" in operator.weights else ()
        where[i] = len(vertices)
        vertices.append(Vertex(operator.kind, shape, sources, (i,)))
    return tuple(vertices)


def match(
    ours: Sequence[Vertex],
    theirs: Sequence[Vertex],
    names: Sequence[str],
    other: str = "the reference",
) -> dict[int, int]:
    """For each vertex of ours the number of its partner. `names` are what theirs are called.

    Raises GraphError where not every vertex of both has exactly one.
    """
    palette: dict[object, Colour] = {}
    our_downs, their_downs = _down(ours, palette), _down(theirs, palette)
    our_ups, their_ups = _up(ours, palette), _up(theirs, palette)
    our_colours = list(zip(our_downs, our_ups, strict=True))
    their_colours = list(zip(their_downs, their_ups, strict=True))
    if Counter(our_colours) != Counter(their_colours):
        # an error anywhere changes every colour upwards; downwards only what comes after it
        strangers = _strangers(theirs, their_downs, our_downs) or _strangers(
            theirs, their_colours, our_colours
        )
        missing = _strangers(ours, our_downs, their_downs) or _strangers(
            ours, our_colours, their_colours
        )
        raise GraphError(
            f"{other} is another network: {_counts(ours, theirs)}"
            f"first without a partner: {_first(strangers, theirs, names)} of {other}, "
            f"{_first(missing, ours, [''] * len(ours))} of the model"
        )
    place = {colour: i for i, colour in enumerate(their_colours)}
    if len(place) < len(theirs):
        twice = next(i for i, colour in enumerate(their_colours) if place[colour] != i)
        raise GraphError(
            f"{names[twice]} and {names[place[their_colours[twice]]]} of {other} stand in "
            "the same place of the network; which is which cannot be told"
        )
    return {i: place[colour] for i, colour in enumerate(our_colours)}


def ends(operators: Sequence[Operator]) -> list[int]:
    """What the heads put out: a convolution that no other follows, with what belongs to it.

    That is a batch norm, and in a head of 2021 the split into classes and sides.
    """
    followed: set[int] = set()  # operators that a convolution follows
    for i in reversed(range(len(operators))):
        if operators[i].kind == "conv" or i in followed:
            followed |= {source.operator for source in operators[i].sources}
    last = {i for i, o in enumerate(operators) if o.kind == "conv" and i not in followed}
    for kind in ("batch_norm", "split"):
        for i, operator in enumerate(operators):
            before = operator.sources[0].operator if operator.sources else -1
            if operator.kind == kind and before in last:
                last.remove(before)
                last.add(i)
    return sorted(last)


def _ancestors(operators: Sequence[Operator], ends: Iterable[int]) -> list[int]:
    """Numbers of `ends` and of all that goes into them, in order."""
    wanted = set(ends)
    for i in reversed(range(len(operators))):
        if i in wanted:
            wanted |= {source.operator for source in operators[i].sources}
    return sorted(wanted - {-1})


def _down(vertices: Sequence[Vertex], palette: dict[object, Colour]) -> list[Colour]:
    colours: list[Colour] = []
    for vertex in vertices:
        inputs = [
            (colours[source.operator] if source.operator >= 0 else -1, source.index)
            for source in vertex.sources
        ]
        if vertex.kind in COMMUTATIVE:
            inputs.sort()
        key = ("down", vertex.kind, vertex.shape, tuple(inputs))
        colours.append(palette.setdefault(key, len(palette)))
    return colours


def _up(vertices: Sequence[Vertex], palette: dict[object, Colour]) -> list[Colour]:
    uses: list[list[tuple[Colour, int, int]]] = [[] for _ in vertices]
    colours = [0] * len(vertices)
    for i in reversed(range(len(vertices))):
        vertex = vertices[i]
        key = ("up", vertex.kind, vertex.shape, tuple(sorted(uses[i])))
        colours[i] = palette.setdefault(key, len(palette))
        for position, source in enumerate(vertex.sources):
            if source.operator >= 0:
                at = 0 if vertex.kind in COMMUTATIVE else position
                uses[source.operator].append((colours[i], at, source.index))
    return colours


def _strangers(
    vertices: Sequence[Vertex], colours: Sequence[object], others: Sequence[object]
) -> list[int]:
    left = Counter(others)
    found = []
    for i in range(len(vertices)):
        left[colours[i]] -= 1
        if left[colours[i]] < 0:
            found.append(i)
    return found


def _counts(ours: Sequence[Vertex], theirs: Sequence[Vertex]) -> str:
    our, their = (Counter(vertex.kind for vertex in side) for side in (ours, theirs))
    differing = [
        f"{their[kind]} {kind} where the model has {our[kind]}"
        for kind in sorted(our | their)
        if our[kind] != their[kind]
    ]
    return ", ".join(differing) + "; " if differing else ""


def _first(found: Sequence[int], vertices: Sequence[Vertex], names: Sequence[str]) -> str:
    if not found:
        return "none"
    vertex = vertices[found[0]]
    shape = f" {list(vertex.shape)}" if vertex.shape else ""
    return f"{vertex.kind}{shape} {names[found[0]]}".rstrip()
