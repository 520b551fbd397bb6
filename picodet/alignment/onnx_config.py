"""Which PicoDet an ONNX graph is: what its weights and its input tell, and what it says itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from picodet.alignment.onnx_graph import run_model
from picodet.class_names import COCO
from picodet.config import STRIDES, VARIANTS, ModelConfig, check_input_size
from picodet.converter.recognise import MAX_HEAD_CONVS
from picodet.errors import AlignmentError
from picodet.graphs.graph import Graph
from picodet.graphs.onnx_reader import attributes_of, read_graph, sides
from picodet.meta import HEADER, config_of
from picodet.models.picodet import PicoDet

DEFAULT_SIZE = (416, 416)
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # of operators that onnxruntime has


def check_runnable(path: Path, model: onnx.ModelProto, picture: str) -> None:
    """Raise AlignmentError where onnxruntime cannot run this, whatever the graph is."""
    (given,) = (value.type.tensor_type for value in model.graph.input if value.name == picture)
    if given.elem_type != TensorProto.FLOAT or len(given.shape.dim) != 4:
        kind = TensorProto.DataType.Name(given.elem_type).lower()
        raise AlignmentError(
            f"{path}: {picture}, its input, is {kind} of {len(given.shape.dim)} dimensions; an "
            "export in float32 that takes [1, 3, height, width] is expected"
        )
    known = {*DOMAINS, *(function.domain for function in model.functions)}
    for node in model.graph.node:
        if node.domain not in known:
            raise AlignmentError(
                f"{path}: has the operator {node.op_type} of {node.domain}, which is not ONNX's "
                "and which onnxruntime cannot run"
            )
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    nothing = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", [x], [y])
    versions = {"opset_imports": model.opset_import, "ir_version": model.ir_version}
    try:
        run_model(helper.make_model(nothing, **versions), {"x": np.zeros(1, "f4")}, ["y"])
    except Exception as error:  # onnxruntime's errors have no class of their own in common
        opsets = ", ".join(f"{o.domain or 'ONNX'} {o.version}" for o in model.opset_import)
        raise AlignmentError(
            f"{path}: needs the operators of {opsets} (IR {model.ir_version}); the installed "
            f"onnxruntime {onnxruntime.__version__} does not have them: pip install --upgrade onnx "
            "onnxruntime"
        ) from error


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
    convolutions = sum(node.kind == "conv" for node in graph.nodes)
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
    towers = convolutions - _convolutions(replace(config, head_convs=0))
    depth = round(towers / (2 * len(STRIDES)))  # a graph that lacks one is still recognised
    return replace(config, head_convs=min(max(depth, 0), MAX_HEAD_CONVS)), notes


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
    with torch.random.fork_rng(devices=[]):
        return sum(isinstance(layer, torch.nn.Conv2d) for layer in PicoDet(config).modules())
