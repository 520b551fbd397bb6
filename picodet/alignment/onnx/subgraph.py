"""Subgraphs of an ONNX graph, from known tensors to wanted ones.

A subgraph is extracted, run by onnxruntime and freed; the graph itself is not changed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from picodet.alignment.reference.onnx_runtime import run_model
from picodet.errors import AlignmentError

KnownTensor = Callable[[str], np.ndarray | None]


class SubgraphError(AlignmentError, RuntimeError):
    """A subgraph that onnxruntime cannot run."""


class Subgraphs:
    """An ONNX model, and the values of its inputs."""

    def __init__(self, model: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> None:
        self.model, self.feed = model, feed
        self.nodes = list(model.graph.node)
        self.producers = {
            name: i for i, node in enumerate(self.nodes) for name in node.output if name
        }
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The operator that makes a tensor; None for an input or a constant."""
        return self.nodes[self.producers[name]] if name in self.producers else None

    def run(
        self, outputs: Sequence[str], known: KnownTensor = lambda name: None, threads: int = 1
    ) -> list[np.ndarray]:
        """The wanted tensors, each computed by its operator.

        The subgraph starts at the inputs and at tensors that `known` has. Raises SubgraphError.
        """
        found = {self.producers[name] for name in outputs if name in self.producers}
        pending = [name for i in found for name in _inputs(self.nodes[i])]
        inputs: dict[str, np.ndarray] = {}
        constants: dict[str, onnx.TensorProto] = {}
        seen: set[str] = set()
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            value = self.feed[name] if name in self.feed else known(name)
            if value is not None:
                inputs[name] = value
            elif name in self.constants:
                constants[name] = self.constants[name]
            elif name in self.producers and self.producers[name] not in found:
                found.add(self.producers[name])
                pending += _inputs(self.nodes[self.producers[name]])
        # a known tensor may be another output of an operator in the subgraph
        inputs = {n: x for n, x in inputs.items() if self.producers.get(n) not in found}
        model = self._model(sorted(found), inputs, list(constants.values()), outputs)
        try:
            return run_model(model, inputs, outputs, threads)
        except Exception as error:  # onnxruntime's errors have no common base class
            raise SubgraphError(f"onnxruntime: {error}") from error

    def _model(
        self,
        nodes: Sequence[int],
        inputs: Mapping[str, np.ndarray],
        constants: Sequence[onnx.TensorProto],
        outputs: Sequence[str],
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            [self.nodes[i] for i in nodes],
            "subgraph",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
                )
                for name, array in inputs.items()
            ],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            constants,
        )
        return helper.make_model(
            graph,
            opset_imports=self.model.opset_import,
            ir_version=self.model.ir_version,
            functions=self.model.functions,
        )


def _inputs(node: onnx.NodeProto) -> list[str]:
    """The inputs of an operator, with those that graphs within it take from outside."""
    return [name for name in _all_inputs(node) if name]


def _all_inputs(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _all_inputs(inner)
