"""Which PicoDet an ONNX graph is: what its weights and its input tell, and what it says itself."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from picodet.alignment.onnx_graph import run_model
from picodet.config import ModelConfig
from picodet.converter.configure import Wanted, configure
from picodet.errors import AlignmentError
from picodet.graphs.ending import EndingNames
from picodet.graphs.graph import Graph
from picodet.graphs.recognition import recognise_graph
from picodet.ort import onnxruntime
from picodet.porting.opening import open_source

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


def recognised(
    path: Path, graph: Graph, ending: EndingNames, size: tuple[int, int] | None
) -> tuple[ModelConfig, tuple[float, ...] | None, tuple[str, ...]]:
    """The config, what it says that the bins stand for, and what had to be assumed.

    graph: in canonical form; size: of the input, where any is taken. Raises GraphError where this
    is no PicoDet that we know, ConversionError where its size is none.
    """
    source = open_source(path)
    if source.config is not None:
        return source.config, source.bins, ()
    wanted = Wanted(input_size=None if source.said.input_size else size)
    config = configure(recognise_graph(graph, ending), source.said, wanted).config
    return config, None, ("mean, std and interp are ppdet's defaults: the ONNX does not say them",)
