"""Which PicoDet an ONNX graph is: what its weights and its input tell, and what it says itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import torch

from picodet.alignment.graph import Graph
from picodet.alignment.onnx_graph import attributes_of, read_graph, sides
from picodet.class_names import COCO
from picodet.config import STRIDES, VARIANTS, ModelConfig, check_input_size
from picodet.errors import AlignmentError
from picodet.models.checkpoint import HEADER, config_of
from picodet.models.picodet import PicoDet

DEFAULT_SIZE = (416, 416)


def configure(
    path: Path,
    model: onnx.ModelProto,
    graph: Graph,
    splits: Sequence[str],
    size: tuple[int, int] | None,
) -> tuple[ModelConfig, tuple[str, ...]]:
    """The config, and what had to be assumed.

    graph: in canonical form; splits: outputs of what cuts the predictors' outputs in two; size: of
    the input, where any is taken. Raises AlignmentError where this is no PicoDet of ours.
    """
    try:
        said = _said(model)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise AlignmentError(
            f"{path}: its metadata {HEADER} is not ours: {type(error).__name__} {error}"
        ) from error
    if said is not None:
        return said, ()
    shapes = [
        graph.constants[node.weights["weight"]].shape for node in graph.nodes if node.kind == "conv"
    ]
    heads = _heads(graph, splits)
    variant = next((v for v in VARIANTS if {h[1] for h in heads} == {v.channels}), None)
    if variant is None or len({h[0] for h in heads}) > 1 or len(heads) != len(STRIDES):
        known = ", ".join(f"{v.name} {v.channels}" for v in VARIANTS)
        raise AlignmentError(
            f"{path}: no PicoDet of 2021. Its predictors are {[list(h) for h in heads]}; expected "
            f"are {len(STRIDES)} with the same number of outputs and of inputs ({known})"
        )
    classes, bins = _split_sizes(model, splits[0], heads[0][0])
    notes = ("mean, std and interp are ppdet's defaults: the ONNX does not say them",)
    config = replace(
        variant,
        name=path.stem,
        classes=COCO if classes == len(COCO) else tuple(f"class {i}" for i in range(classes)),
        input_size=_size(path, model, graph, size),
        reg_max=bins // 4 - 1,
    )
    towers = len(shapes) - _convolutions(replace(config, head_convs=0))
    config = replace(config, head_convs=max(towers, 0) // (2 * len(STRIDES)))
    return config, notes


def _said(model: onnx.ModelProto) -> ModelConfig | None:
    """What our own exporter writes into a file."""
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if HEADER not in metadata:
        return None
    meta = json.loads(metadata[HEADER])
    if not isinstance(meta, Mapping):
        raise TypeError("a dictionary is expected")
    return config_of(meta)


def _heads(graph: Graph, splits: Sequence[str]) -> list[tuple[int, ...]]:
    """Shapes of the predictors' weights."""
    makers = graph.producers()
    convs = [makers[makers[split].inputs[0]] for split in splits]
    return [graph.constants[conv.weights["weight"]].shape for conv in convs]


def _split_sizes(model: onnx.ModelProto, split: str, channels: int) -> tuple[int, int]:
    """Of scores and of sides."""
    (node,) = (node for node in model.graph.node if split in node.output)
    sizes = attributes_of(node).get("split")
    if sizes is None and len(node.input) > 1:
        constant = read_graph(model.graph).constants.get(node.input[1])
        sizes = None if constant is None else constant.tolist()
    classes, of_sides = sizes if sizes is not None else (channels // 2, channels // 2)
    return int(classes), int(of_sides)


def _size(
    path: Path, model: onnx.ModelProto, graph: Graph, size: tuple[int, int] | None
) -> tuple[int, int]:
    *_, height, width = sides(model.graph, graph.inputs[0])
    if height is None or width is None:
        return size or DEFAULT_SIZE
    try:
        check_input_size((height, width))
    except ValueError as error:
        raise AlignmentError(f"{path}: {error}") from error
    return height, width


def _convolutions(config: ModelConfig) -> int:
    """How many convolutions a model has; nothing is filled with numbers for that."""
    with torch.device("meta"):
        return sum(isinstance(m, torch.nn.Conv2d) for m in PicoDet(config).modules())
