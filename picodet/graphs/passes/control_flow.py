"""Cuts a program where its control flow begins: the network before its decoding is all of it.

Exports of Paddle 2.1 and PaddleX 2 decode and select boxes in loops, in branches and in arrays of
tensors, which change tensors in place, so that an operator's inputs are no longer known by name.
"""

from collections.abc import Iterable, Set
from dataclasses import replace

from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node

# names of operators in Paddle 2 (both program formats) and in ONNX, without the _ of in-place ones
CONTROL_FLOW = frozenset(
    {
        *("while", "conditional_block", "if", "loop", "scan", "select_input", "select_output"),
        *("write_to_array", "read_from_array", "array_write", "array_read", "array_length"),
        *("lod_array_length", "array_to_lod_tensor", "lod_tensor_to_array", "lod_rank_table"),
        *("tensor_array_to_tensor", "create_array", "increment", "merge_lod_tensor"),
        *("split_lod_tensor", "lod_reset", "shrink_rnn_memory", "max_sequence_len"),
    }
)


def has_control_flow(kinds: Iterable[str]) -> bool:
    """Whether an operator among these loops, branches, or changes an array of tensors."""
    return any(kind.rstrip("_") in CONTROL_FLOW for kind in kinds)


def cut(graph: Graph) -> Graph:
    """The graph without control flow and what depends on it; without any, the graph itself.

    Its outputs become the tensors that were taken by what is left out. Raises GraphError where
    nothing is left.
    """
    if not has_control_flow(node.kind for node in graph.nodes):
        return graph
    known = {*graph.inputs, *graph.constants}
    nodes: list[Node] = []
    left_out: list[Node] = []
    for node in graph.nodes:
        if _depends_on_control_flow(node, known):
            left_out.append(node)
        else:
            nodes.append(node)
            known |= set(node.outputs)
    made = {name for node in nodes for name in node.outputs}
    taken = [name for node in left_out for name in node.inputs]
    outputs = tuple(dict.fromkeys(name for name in (*graph.outputs, *taken) if name in made))
    if not outputs:
        raise GraphError(
            f"the network itself has control flow ({left_out[0].kind}); expected it in the "
            "decoding after the network only"
        )
    return replace(graph, nodes=tuple(nodes), outputs=outputs, is_partial=True)


def _depends_on_control_flow(node: Node, known: Set[str]) -> bool:
    """Whether it is control flow, takes what it made, or changes a tensor in place."""
    return (
        has_control_flow([node.kind])
        or not known >= {*node.inputs, *node.weights.values()}
        or bool(known & set(node.outputs))
    )
