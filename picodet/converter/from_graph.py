"""Converts a graph whose tensors have lost their names, by the structure of the graph."""

from collections.abc import Iterable, Mapping

import numpy as np

from picodet.config import feature_map_sizes
from picodet.converter import bins
from picodet.converter.attribute_check import check_attributes, check_names
from picodet.converter.configure import ConvertOptions, override_config, resolve_config
from picodet.converter.converted_model import ConvertedModel, IncompleteError
from picodet.converter.graph_normalization import add_normalization
from picodet.converter.match_tensors import INTEGRAL_PROJECT, UnmatchedTensor, match_tensors
from picodet.converter.names.name_tables import IdentityNameTable, name_table
from picodet.converter.recognize_graph import find_activations, recognize_graph
from picodet.converter.sources import GraphSource
from picodet.errors import GraphError
from picodet.graphs.graph import canonicalize, to_operators
from picodet.graphs.node_mapping import NodeMapping, map_nodes
from picodet.graphs.outputs import find_outputs
from picodet.graphs.passes.float_graph import to_float
from picodet.graphs.passes.normalization import take_normalization
from picodet.graphs.tracing import TracedModel, trace
from picodet.graphs.weights import find_project, read_weights
from picodet.models.shapes import shapes_of
from picodet.ops.anchor_points import make_anchor_points

DECODING_REASON = (
    "part of decoding or NMS, which picodet.ops.decode and picodet.ops.nms do outside the model"
)
SCALE_REASON = "of the quantization, which is left out"
CONTROL_FLOW_NOTES = (
    "the decoding after the network has loops or branches, which were not read: boxes are decoded "
    "as ppdet does",
)


def from_graph(
    source: GraphSource, options: ConvertOptions, allow_nonfinite: bool
) -> ConvertedModel:
    """Match every operator to the model's, and every weight to its layer.

    Raises GraphError where the graph is not a PicoDet, ConversionError where its weights are not.
    """
    try:
        return _convert_graph(source, options, allow_nonfinite)
    except GraphError as error:
        raise GraphError(f"{source.origin.path}: {error}") from error


def _convert_graph(
    source: GraphSource, options: ConvertOptions, allow_nonfinite: bool
) -> ConvertedModel:
    float_graph = to_float(source.graph)
    bare, normalization = take_normalization(float_graph.graph)
    graph = canonicalize(bare)
    path = source.origin.path
    graph_outputs = find_outputs(graph)
    recognized = recognize_graph(graph, graph_outputs)
    if source.config is None:
        activations = find_activations(graph, graph_outputs)
        hints, note = add_normalization(source.hints, normalization)
        resolved = resolve_config(recognized, hints, options, activations)
        notes = resolved.notes + ((note,) if note else ())
        config = resolved.config
    else:
        config, notes = override_config(source.config, options), ()
    traced = trace(config)
    stored = {name: array.shape for name, array in graph.constants.items()}
    graph_operators = to_operators(
        graph, {name: name for node in graph.nodes for name in node.outputs}
    )
    node_mapping = map_nodes(
        traced, graph_operators, stored, graph.inputs[0], "the graph", exact=True
    )
    _refuse_extra(traced, node_mapping)
    check_attributes(config, traced, node_mapping, graph)
    names = name_table(config.backbone, config.neck, config.head)
    translations = {name: names.to_ours(name) for name in source.ppdet_names.values()}
    check_names(
        traced, node_mapping, source.ppdet_names, {n: t.name for n, t in translations.items() if t}
    )
    projects = find_project(traced, graph_operators)
    weights = read_weights(traced, node_mapping, graph, next(iter(projects.values()), None))
    state = weights.state_dict()
    if INTEGRAL_PROJECT not in state and source.bins is not None:
        state[INTEGRAL_PROJECT] = np.array(source.bins, np.float32)
    initialized = (
        ()
        if INTEGRAL_PROJECT in state
        else (UnmatchedTensor(INTEGRAL_PROJECT, bins.DEFAULT_BINS_REASON),)
    )
    if initialized:
        state[INTEGRAL_PROJECT] = bins.exact_bins(config.reg_max + 1)
    shapes, parameters = shapes_of(config, "detector")
    conversion = match_tensors(
        state, shapes, IdentityNameTable(names), config.input_size, allow_nonfinite
    )
    if not conversion.ok:
        raise IncompleteError(path, config.name, conversion)
    used = {name for partner in node_mapping.partners.values() for name in partner.weights.values()}
    used |= set(projects.values())
    scales = [name for name in float_graph.scales if name not in graph.constants]
    return ConvertedModel(
        kind="detector",
        config=config,
        weights=conversion.weights,
        parameters=parameters,
        tensors=len(graph.constants) + len(scales),
        mapped=len(used),
        dtypes=_count_dtypes(graph.constants[name] for name in used),
        skipped=tuple(
            UnmatchedTensor(name, DECODING_REASON) for name in graph.constants if name not in used
        )
        + tuple(UnmatchedTensor(name, SCALE_REASON) for name in scales),
        initialized=conversion.initialized + initialized,
        nms=source.nms,
        notes=(
            *source.origin.notes,
            *notes,
            *float_graph.notes,
            *(CONTROL_FLOW_NOTES if graph.is_partial else ()),
            *_folded_note(len(weights.folded)),
            *_decoding_note(graph.constants, config.input_size),
        ),
    )


def _refuse_extra(traced: TracedModel, node_mapping: NodeMapping) -> None:
    """Raise GraphError for a weight that the model's layer does not have: it would be lost."""
    for k, partner in node_mapping.partners.items():
        expected = traced.operators[k].weights
        layer = expected.get("weight", "").removesuffix(".weight")
        folded = layer in node_mapping.folded
        norm = layer in node_mapping.folded.values()
        extra = partner.weights.keys() - expected.keys() - ({"bias"} if folded or norm else set())
        if extra:
            raise GraphError(
                f"{partner.kind} {partner.name} of the graph has {', '.join(sorted(extra))}, which "
                "the matching layer of the model does not have "
                f"({', '.join(expected.values()) or traced.operators[k].name})"
            )


def _count_dtypes(arrays: Iterable[np.ndarray]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for array in arrays:
        counts[array.dtype.name] = counts.get(array.dtype.name, 0) + 1
    return counts


def _folded_note(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (
        f"{count} batch norms were folded into their convolutions: here they only add the bias "
        "(weight 1, mean 0, variance 1 - 1e-5). The function is the same; fine-tuning needs care, "
        "since their statistics are not those of any data: freeze them, or retrain them with a "
        "small learning rate",
    )


def _decoding_note(
    constants: Mapping[str, np.ndarray], input_size: tuple[int, int]
) -> tuple[str, ...]:
    """A note if the graph stores other anchor points or strides than a PicoDet's."""
    points, strides = make_anchor_points(feature_map_sizes(input_size))
    wrong = [
        name
        for name, array in constants.items()
        if (array.shape == points.shape and not _equals_one(array, points, points * strides))
        or (array.shape == strides.shape and not np.array_equal(array, strides))
    ]
    if not wrong:
        return ()
    return (
        f"{', '.join(wrong)}: not the anchor points and strides of a PicoDet at {input_size[0]}x"
        f"{input_size[1]}. The file decodes other boxes than the model, which computes them",
    )


def _equals_one(array: np.ndarray, *expected: np.ndarray) -> bool:
    return any(np.array_equal(array, each) for each in expected)
