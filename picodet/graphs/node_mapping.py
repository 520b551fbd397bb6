"""Where the tensors of our model are in a graph of the same network that may be wrong in places.

The convolutions are found by structure, whatever lies between them; what lies between is found
from the convolutions before and behind it. An operator that is missing, or that is another one,
leaves everything else in its place.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from picodet.errors import GraphError
from picodet.graphs.matching import COMMUTATIVE, WEIGHTED, Vertex, match, network
from picodet.graphs.operators import Operator, Source
from picodet.graphs.tracing import Traced

Shapes = dict[str, tuple[int, ...]]
MOST = 4  # times as much as our model has between the picture and its heads
Marks = Mapping[int, int]  # vertices that have a partner, and the number of the pair


@dataclass(frozen=True)
class Places:
    """`theirs` are operators of the other graph, `ours` numbers of our own."""

    made: Mapping[Source, str]  # what a tensor of ours is called there
    taken: Mapping[int, Mapping[Source, str]]  # what the partner of our operator takes for it
    partners: Mapping[int, Operator]
    folded: Mapping[str, str]  # path of a convolution -> of the batch norm that is part of it
    inner: frozenset[Source]  # between those two, which is nowhere there


def find_places(
    traced: Traced,
    theirs: Sequence[Operator],
    stored: Shapes,
    picture: str,
    other: str,
    exact: bool = False,
) -> Places:
    """`other` is what theirs is called in errors; outputs of `theirs` are names.

    Raises GraphError where the convolutions are not those of our model, or, if `exact`, where any
    operator is not.
    """
    our_network, their_network = network(traced.operators, traced.shapes), network(theirs, stored)
    names = [theirs[vertex.parts[-1]].name for vertex in their_network]
    if exact or len(their_network) > MOST * len(our_network):  # which takes long, and is none
        match(our_network, their_network, names, other)
    partners: dict[int, Operator] = {}
    folded: dict[str, str] = {}
    inner: set[Source] = set()
    for i, j in _pairs(our_network, their_network, names, other).items():
        our, their = our_network[i].parts, [theirs[part] for part in their_network[j].parts]
        if len(our) == 2 and len(their) == 1 and "bias" in their[0].weights:
            conv, norm = (
                traced.operators[k].weights["weight"].removesuffix(".weight") for k in our
            )
            folded[conv] = norm
            inner.add(Source(our[0]))
        elif len(our) != len(their):
            raise GraphError(
                f"{their[-1].name} of {other} is {' and '.join(o.kind for o in their)}, in the "
                f"model it is {' and '.join(traced.operators[k].kind for k in our)}"
            )
        partners |= dict(zip(our, their * len(our), strict=False))
    made = {Source(-1): picture} | {
        Source(k, index): name
        for k, partner in partners.items()
        for index, name in enumerate(partner.outputs)
        if Source(k) not in inner
    }
    after = {i for k in inner for i in partners if traced.operators[i].sources[0] == k}
    taken = {
        k: _taken(traced.operators[k], made, _names(partner, theirs, picture))
        for k, partner in sorted(partners.items())
        if k not in after  # a batch norm that is part of its convolution takes nothing
    }
    for of_one in taken.values():  # what nothing made that we know
        made = of_one | made
    return Places(made, taken, partners, folded, frozenset(inner))


def _pairs(
    ours: Sequence[Vertex], theirs: Sequence[Vertex], names: Sequence[str], other: str
) -> dict[int, int]:
    """Numbers of vertices: of all convolutions, and of whatever else has a partner."""
    (our_convs, our_places), (their_convs, their_places) = _weighted(ours), _weighted(theirs)
    found = _grown({}, our_convs, their_convs)
    if not len(found) == len(our_convs) == len(their_convs):
        found = match(our_convs, their_convs, [names[j] for j in their_places], other)  # says why
    return _grown({our_places[i]: their_places[j] for i, j in found.items()}, ours, theirs)


def _grown(
    known: Mapping[int, int], ours: Sequence[Vertex], theirs: Sequence[Vertex]
) -> dict[int, int]:
    """The known pairs, and all that can be told from them."""
    pairs, count = dict(known), -1
    while count < len(pairs):  # each pair that is found lets others be found
        count = len(pairs)
        for colours in (_down, _up):
            palette: dict[object, int] = {}
            our = colours(ours, {i: i for i in pairs}, palette)
            their = colours(theirs, {j: i for i, j in pairs.items()}, palette)
            once = {colour for colour, n in Counter(their).items() if n == 1}
            once &= {colour for colour, n in Counter(our).items() if n == 1}
            where = {colour: j for j, colour in enumerate(their)}
            pairs |= {i: where[colour] for i, colour in enumerate(our) if colour in once}
    return pairs


def _weighted(vertices: Sequence[Vertex]) -> tuple[list[Vertex], list[int]]:
    """The convolutions, each with all convolutions that it can be reached from; their numbers."""
    places: list[int] = []
    found: list[Vertex] = []
    reached: list[set[int]] = []  # by each vertex: the convolutions that it shows, -1 the picture
    for i, vertex in enumerate(vertices):
        before = set().union(
            *(reached[s.operator] if s.operator >= 0 else {-1} for s in vertex.sources)
        )
        if vertex.shape:
            reached.append({len(found)})
            sources = tuple(map(Source, sorted(before)))
            found.append(Vertex(WEIGHTED, vertex.shape, sources, vertex.parts))
            places.append(i)
        else:
            reached.append(before)
    return found, places


def _down(vertices: Sequence[Vertex], marks: Marks, palette: dict[object, int]) -> list[int]:
    """Colours by what goes in, from the last pairs on."""
    colours: list[int] = []
    for i, vertex in enumerate(vertices):
        inputs = [(colours[s.operator] if s.operator >= 0 else -1, s.index) for s in vertex.sources]
        if vertex.kind in COMMUTATIVE:
            inputs.sort()
        key: object = (vertex.kind, vertex.shape, tuple(inputs))
        key = ("pair", marks[i]) if i in marks else key
        colours.append(palette.setdefault(key, len(palette)))
    return colours


def _up(vertices: Sequence[Vertex], marks: Marks, palette: dict[object, int]) -> list[int]:
    """Colours by what becomes of it, up to the next pairs."""
    uses: list[list[tuple[int, int, int]]] = [[] for _ in vertices]
    colours = [0] * len(vertices)
    for i in reversed(range(len(vertices))):
        vertex = vertices[i]
        key: object = (vertex.kind, vertex.shape, tuple(sorted(uses[i])))
        key = ("pair", marks[i]) if i in marks else key
        colours[i] = palette.setdefault(key, len(palette))
        for position, source in enumerate(vertex.sources):
            if source.operator >= 0:
                at = 0 if vertex.kind in COMMUTATIVE else position
                uses[source.operator].append((colours[i], at, source.index))
    return colours


def _names(operator: Operator, theirs: Sequence[Operator], picture: str) -> list[str]:
    return [
        theirs[source.operator].outputs[source.index] if source.operator >= 0 else picture
        for source in operator.sources
    ]


def _taken(
    operator: Operator, made: Mapping[Source, str], names: Sequence[str]
) -> dict[Source, str]:
    """`names` are what the partner takes; of an addition's two it is told by what made them."""
    if operator.kind not in COMMUTATIVE:
        return dict(zip(operator.sources, names, strict=False))
    found = {source: made[source] for source in operator.sources if made.get(source) in names}
    unknown = [source for source in operator.sources if source not in found]
    left = [name for name in names if name not in found.values()]
    return found | dict(zip(unknown, left, strict=False))
