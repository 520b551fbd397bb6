"""Which PicoDet an ONNX graph is, by its weights, its input and its metadata."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from picodet.alignment.reference.onnx_runtime import run_model
from picodet.config import ModelConfig
from picodet.converter.configure import DEFAULT_SIZE, ConvertOptions, resolve_config
from picodet.converter.paddle_checkpoints import WeightSet
from picodet.converter.readers import open_source
from picodet.converter.recognize_graph import recognize_graph
from picodet.converter.sources import GraphSource
from picodet.errors import AlignmentError
from picodet.graphs.graph import Graph
from picodet.graphs.outputs import GraphOutputs
from picodet.system.ort import onnxruntime
from picodet.zoo.class_names import known_class_names


class OnnxConfig(NamedTuple):
    """Config that an ONNX file states, and what was assumed."""

    config: ModelConfig
    bins: (
        tuple[float, ...] | None
    )  # the values of the bins of reg; None where it does not state them
    classes: tuple[str, ...] | None  # None where it has none
    notes: tuple[str, ...]  # what had to be assumed
    size_assumed: bool  # whether the input size was assumed, as the graph takes any


DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # of operators that onnxruntime implements


def check_runnable(path: Path, model: onnx.ModelProto, input_name: str) -> None:
    """Raise AlignmentError where onnxruntime cannot run this model, whichever network it is."""
    (input_type,) = (
        value.type.tensor_type for value in model.graph.input if value.name == input_name
    )
    if input_type.elem_type != TensorProto.FLOAT or len(input_type.shape.dim) != 4:
        kind = TensorProto.DataType.Name(input_type.elem_type).lower()
        raise AlignmentError(
            f"{path}: the input {input_name} is {kind} with {len(input_type.shape.dim)} "
            "dimensions; expected a float32 export that takes [1, 3, height, width]"
        )
    known = {*DOMAINS, *(function.domain for function in model.functions)}
    for node in model.graph.node:
        if node.domain not in known:
            raise AlignmentError(
                f"{path}: the operator {node.op_type} of {node.domain} is not in ONNX and "
                "onnxruntime cannot run it; export without it"
            )
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    identity = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
    versions = {"opset_imports": model.opset_import, "ir_version": model.ir_version}
    try:
        run_model(helper.make_model(identity, **versions), {"x": np.zeros(1, "f4")}, ["y"])
    except Exception as error:  # onnxruntime's errors have no common base class
        opsets = ", ".join(f"{o.domain or 'ONNX'} {o.version}" for o in model.opset_import)
        raise AlignmentError(
            f"{path}: needs the operators of {opsets} (IR {model.ir_version}), which the installed "
            f"onnxruntime {onnxruntime.__version__} lacks; pip install --upgrade onnx onnxruntime"
        ) from error


def read_config(
    path: Path, graph: Graph, outputs: GraphOutputs, weight_set: WeightSet | None
) -> OnnxConfig:
    """The config that the file states, and what has to be assumed.

    graph: in canonical form. Raises GraphError where it is not a known PicoDet, ConversionError
    where its input size is invalid, CheckpointError for a `weight_set`, as an export has only one.
    """
    source = open_source(path, weight_set)
    if source.config is not None:
        bins = source.bins if isinstance(source, GraphSource) else None
        names = source.config.classes
        return OnnxConfig(
            source.config, bins, known_class_names(names, len(names)), (), size_assumed=False
        )
    size_assumed = source.hints.input_size is None
    wanted = ConvertOptions(input_size=DEFAULT_SIZE if size_assumed else None)
    found = resolve_config(recognize_graph(graph, outputs), source.hints, wanted)
    classes = known_class_names(source.hints.classes, len(found.config.classes))
    note = "mean, std and interp are ppdet's defaults: the ONNX file does not state them"
    return OnnxConfig(found.config, None, classes, (*found.notes, note), size_assumed)
