"""A graph whose tensors have lost their names -> a PicoDet, by the structure of the graph."""

from collections.abc import Iterable

import numpy as np

from picodet.converter import bins
from picodet.converter.attribute_check import check_likeness, check_names
from picodet.converter.configure import Wanted, adjusted, configure
from picodet.converter.converted_model import IncompleteError, Ported
from picodet.converter.match_tensors import BINS, OneSided, convert
from picodet.converter.names.name_tables import OwnNames, name_table
from picodet.converter.recognize_graph import recognise_graph
from picodet.converter.sources import DrawnTensors
from picodet.errors import GraphError
from picodet.graphs.graph import canonical, operators
from picodet.graphs.node_mapping import Places, find_places
from picodet.graphs.outputs import find_ending
from picodet.graphs.tracing import Traced, trace
from picodet.graphs.weights import project_of, read_weights
from picodet.models.shapes import shapes_of

DECODING = (
    "part of decoding or NMS, which our model leaves to picodet.ops.decode and picodet.ops.nms"
)
UNSAID = "mean, std and interp are ppdet's defaults: the file does not say them"
FRESH_BINS = "the values of the bins, which the export does not hold: 0, 1, 2 .."


def from_graph(source: DrawnTensors, wanted: Wanted, allow_nonfinite: bool) -> Ported:
    """Every operator has to be one of ours, and every weight to have its layer.

    Raises GraphError where the graph is no PicoDet, ConversionError where its weights are not.
    """
    try:
        return _ported(source, wanted, allow_nonfinite)
    except GraphError as error:
        raise GraphError(f"{source.origin.path}: {error}") from error


def _ported(source: DrawnTensors, wanted: Wanted, allow_nonfinite: bool) -> Ported:
    graph = canonical(source.graph)
    path = source.origin.path
    ending = find_ending(graph)
    found = recognise_graph(graph, ending)
    if source.config is None:
        configured = configure(found, source.said, wanted)
        notes = configured.notes + (() if source.said.preprocessing else (UNSAID,))
        config = configured.config
    else:
        config, notes = adjusted(source.config, wanted), ()
    traced = trace(config)
    stored = {name: array.shape for name, array in graph.constants.items()}
    theirs = operators(graph, {name: name for node in graph.nodes for name in node.outputs})
    places = find_places(traced, theirs, stored, graph.inputs[0], "the graph", exact=True)
    _refuse_extra(traced, places)
    check_likeness(config, traced, places, graph)
    names = name_table(config.backbone, config.neck, config.head)
    there = {name: names.to_ours(name) for name in source.told.values()}
    check_names(traced, places, source.told, {n: t.name for n, t in there.items() if t})
    projects = project_of(traced, theirs)
    weights = read_weights(traced, places, graph, next(iter(projects.values()), None))
    state = weights.state()
    if BINS not in state and source.bins is not None:
        state[BINS] = np.array(source.bins, np.float32)
    fresh = () if BINS in state else (OneSided(BINS, FRESH_BINS),)
    if fresh:
        state[BINS] = bins.expected(config.reg_max + 1)
    shapes, parameters = shapes_of(config, "detector")
    conversion = convert(state, shapes, OwnNames(names), config.input_size, allow_nonfinite)
    if not conversion.ok:
        raise IncompleteError(path, config.name, conversion)
    taken = {name for partner in places.partners.values() for name in partner.weights.values()}
    taken |= set(projects.values())
    return Ported(
        kind="detector",
        config=config,
        weights=conversion.weights,
        parameters=parameters,
        tensors=len(graph.constants),
        mapped=len(taken),
        dtypes=_counted(graph.constants[name] for name in taken),
        left_out=tuple(OneSided(name, DECODING) for name in graph.constants if name not in taken),
        added=conversion.added + fresh,
        notes=(
            *source.origin.notes,
            *notes,
            *_folded_note(len(weights.folded)),
        ),
    )


def _refuse_extra(traced: Traced, places: Places) -> None:
    """A weight of the graph that our layer has no place for would be lost."""
    for k, partner in places.partners.items():
        ours = traced.operators[k].weights
        folded = ours.get("weight", "").removesuffix(".weight") in places.folded
        norm = ours.get("weight", "").removesuffix(".weight") in places.folded.values()
        extra = partner.weights.keys() - ours.keys() - ({"bias"} if folded or norm else set())
        if extra:
            raise GraphError(
                f"{partner.kind} {partner.name} has {', '.join(sorted(extra))}, which the layer of "
                f"our model has not ({', '.join(ours.values()) or traced.operators[k].name})"
            )


def _counted(arrays: Iterable[np.ndarray]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for array in arrays:
        counts[array.dtype.name] = counts.get(array.dtype.name, 0) + 1
    return counts


def _folded_note(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (
        f"{count} batch norms had been folded into their convolutions: here they only add the bias "
        "(weight 1, mean 0, variance 1 - 1e-5). The function is the same; fine-tuning needs care, "
        "since their statistics are not those of any data: freeze them, or train them anew with "
        "a small learning rate",
    )
