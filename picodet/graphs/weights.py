"""The weights of a mapped static graph, by picodet's names."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from picodet.errors import GraphError
from picodet.graphs.graph import Graph
from picodet.graphs.node_mapping import NodeMapping
from picodet.graphs.operators import Operator
from picodet.graphs.tracing import TracedModel
from picodet.models.layers import EPSILON

INTEGRAL_PROJECT = "head.integral.project"
BATCH_NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class GraphWeights:
    """Weights of a graph by the model's names; a folded pair has one weight and one bias."""

    single: Mapping[str, np.ndarray]
    folded: Mapping[str, tuple[np.ndarray, np.ndarray]]  # by the path of the convolution
    norms: Mapping[str, str]  # path of a folded convolution -> path of its batch norm

    def state_dict(self) -> dict[str, np.ndarray]:
        """The state_dict of an equivalent model; a folded batch norm becomes an added bias."""
        state_dict = dict(self.single)
        for conv, (weight, bias) in self.folded.items():
            ones = np.ones(len(bias), np.float32)
            neutral = (ones, bias, np.zeros_like(ones), ones - np.float32(EPSILON))
            state_dict[f"{conv}.weight"] = weight
            norm = self.norms[conv]
            state_dict |= {
                f"{norm}.{name}": x for name, x in zip(BATCH_NORM_TENSORS, neutral, strict=True)
            }
        return state_dict


def read_weights(
    traced: TracedModel, node_mapping: NodeMapping, graph: Graph, project: str | None
) -> GraphWeights:
    """The graph's weights by picodet's names; project: the graph's name of the bins, if it decodes.

    Raises GraphError where a constant has another shape than the weight.
    """
    single: dict[str, np.ndarray] = {}
    folded: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for k, partner in node_mapping.partners.items():
        names = traced.operators[k].weights
        conv = names.get("weight", "").removesuffix(".weight")
        if conv in node_mapping.folded:
            weight, bias = (graph.constants[partner.weights[r]] for r in ("weight", "bias"))
            folded[conv] = np.array(weight), np.array(bias).ravel()
        elif conv not in node_mapping.folded.values():
            roles = names.keys() & partner.weights.keys()
            single |= {names[role]: graph.constants[partner.weights[role]] for role in roles}
    if project is not None:
        single[INTEGRAL_PROJECT] = graph.constants[project].ravel()
    return GraphWeights(
        {name: _reshape(name, x, traced.shapes[name]) for name, x in single.items()},
        folded,
        node_mapping.folded,
    )


def find_project(traced: TracedModel, operators: tuple[Operator, ...]) -> Mapping[str, str]:
    """picodet's name of the bins -> the graph's constant by which each softmax is multiplied."""
    found = {
        name
        for operator in operators
        if operator.kind == "matmul"
        and any(operators[source.operator].kind == "softmax" for source in operator.sources)
        for name in operator.weights.values()
    }
    ours = [name for name in traced.shapes if name.endswith(".project")]
    return dict(zip(ours, found, strict=True)) if len(found) == 1 else {}


def _reshape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A writable copy in this shape: torch warns about read-only arrays."""
    if array.size != np.prod(shape, dtype=int):
        raise GraphError(f"{name}: {list(shape)} expected, found {list(array.shape)} in the graph")
    return np.array(array).reshape(shape)
