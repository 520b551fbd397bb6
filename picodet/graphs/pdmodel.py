"""Reads a `.pdmodel`, the program of an inference folder as Paddle 2 writes it, without Paddle.

Tensors keep the file's names, by which Paddle can return them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from picodet.errors import CheckpointError, GraphError
from picodet.graphs import pdiparams
from picodet.graphs.graph import Graph, Node
from picodet.graphs.paddle_operators import Setting, check_setting, find_spec, make_node
from picodet.graphs.passes.control_flow import cut, has_control_flow
from picodet.graphs.pdiparams import DTYPES, DeclaredWeight
from picodet.graphs.program import (
    MAX_DIMENSIONS,
    MAX_OPERATORS,
    MAX_PARTS,
    Program,
    check_node,
    input_shapes,
    read_bytes,
)
from picodet.graphs.program_proto import ATTRIBUTE_VALUES, CLASSES, DENSE_TENSOR, parse, text
from picodet.graphs.protobuf_parts import check_parts

MAX_FIELDS = 400_000  # of the protobuf message; the pedestrian model's has 90,000
MAX_BYTES = 8_000_000  # the official pedestrian model's has 3 million, mostly Python call stacks
FEED_COLUMN = Setting(int, "col", None, default=0)  # index of the input or output


def read(path: Path, weights: Path) -> Program:
    """The program in `path` with the weights beside it, its graph in canonical operators.

    Raises CheckpointError for damaged or unexpected files, GraphError for an invalid network.
    """
    try:
        block = _block(read_bytes(path, MAX_BYTES))
        variables = {text(variable.name): variable for variable in block.vars}
        constants = pdiparams.read(weights, _weights(block.vars))
        feeds, fetches = _feeds_or_fetches(block, "feed"), _feeds_or_fetches(block, "fetch")
        shapes = input_shapes({name: _shape(name, variables) for name in feeds})
        graph = cut(
            Graph(
                nodes=tuple(_nodes(block, shapes, constants)),
                inputs=tuple(shapes),
                outputs=fetches,
                constants=constants,
            )
        )
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error
    except ValueError as error:
        raise CheckpointError(
            f"{path}: not a readable .pdmodel: {error}. Expected the output of ppdet's "
            "export_model.py with Paddle 2"
        ) from error
    return Program(graph, shapes)


def _block(content: bytes) -> Any:
    """The first block; the others are those of its loops and branches."""
    check_parts(content, CLASSES["ProgramDesc"].DESCRIPTOR, MAX_FIELDS)
    program = parse("ProgramDesc", content)
    if len(program.blocks) == 0:
        raise ValueError("it is empty")
    block = program.blocks[0]
    parts = len(block.vars)
    if len(block.ops) > MAX_OPERATORS or parts > MAX_PARTS:
        raise ValueError(f"{len(block.ops):,} operators and {parts:,} variables, too many")
    for op in block.ops:
        slots = len(op.inputs) + len(op.outputs)
        parts += slots + len(op.attrs)
        if parts <= MAX_PARTS:
            parts += sum(
                len(slot.arguments) for slot_list in (op.inputs, op.outputs) for slot in slot_list
            )
        if parts > MAX_PARTS:
            raise ValueError(f"its operators have more than {MAX_PARTS:,} inputs and attributes")
    return block


def _weights(variables: Any) -> Iterator[DeclaredWeight]:
    for variable in variables:
        if variable.persistable and variable.type.type == DENSE_TENSOR:
            tensor = variable.type.dense_tensor.tensor
            dtype = DTYPES.get(tensor.data_type, f"Paddle's type {tensor.data_type}")
            name = text(variable.name)
            yield DeclaredWeight(name, dtype, _dims(name, tensor))


def _shape(name: str, variables: Mapping[str, Any]) -> tuple[int, ...]:
    if name not in variables:
        raise GraphError(f"its input {name} is not declared")
    return _dims(name, variables[name].type.dense_tensor.tensor)


def _dims(name: str, tensor: Any) -> tuple[int, ...]:
    if len(tensor.dims) > MAX_DIMENSIONS:
        raise ValueError(f"{name} has {len(tensor.dims):,} dimensions")
    return tuple(tensor.dims)


def _feeds_or_fetches(block: Any, kind: str) -> tuple[str, ...]:
    """Names of the feed or fetch operators' tensors, in the order of their `col`."""
    found = []
    for op in block.ops:
        if text(op.type) == kind:
            names = _flatten(_arguments(op.outputs if kind == "feed" else op.inputs))
            if len(names) != 1:
                raise GraphError(f"a {kind} of {len(names)} tensors; expected one")
            found.append((_attribute(op, FEED_COLUMN), *names))
    if not found or len({name for _, name in found}) < len(found):
        raise GraphError(f"it has {len(found)} operators {kind}: none, or two for the same tensor")
    return tuple(name for _, name in sorted(found, key=lambda pair: pair[0]))


def _nodes(
    block: Any, inputs: Mapping[str, object], constants: Mapping[str, Any]
) -> Iterator[Node]:
    available = {*inputs, *constants}
    ordered = not has_control_flow(text(op.type) for op in block.ops)  # see control_flow.cut
    for op in block.ops:
        kind = text(op.type)
        if kind in ("feed", "fetch"):
            continue
        input_slots, output_slots = _arguments(op.inputs), _arguments(op.outputs)
        node = _node(op, kind, input_slots, output_slots)
        for name in (*node.inputs, *node.weights.values()):
            if ordered and name not in available:
                raise GraphError(f"{kind} takes {name}, which no operator before it makes")
        if ordered:
            check_node(node, inputs, constants)
        available.update(*output_slots.values())
        yield node


def _node(
    op: Any,
    kind: str,
    input_slots: Mapping[str, tuple[str, ...]],
    output_slots: Mapping[str, tuple[str, ...]],
) -> Node:
    spec = find_spec(kind)
    if spec is None:
        return Node(kind, _flatten(input_slots), _flatten(output_slots))
    return make_node(
        spec,
        inputs=_flatten({slot: input_slots.get(slot, ()) for slot, _ in spec.inputs}),
        outputs=output_slots.get(spec.output, ()),
        weights={
            role: input_slots[operand.slot][0]
            for role, operand in spec.weights.items()
            if input_slots.get(operand.slot)
        },
        values={
            name: None
            if any(input_slots.get(slot) for slot in setting.slots)
            else _attribute(op, setting)
            for name, setting in spec.settings.items()
        },
    )


def _arguments(slots: Any) -> dict[str, tuple[str, ...]]:
    """Names by slot, sorted by the slots' names, as in Paddle."""
    found = {text(slot.parameter): tuple(map(text, slot.arguments)) for slot in slots}
    return dict(sorted(found.items()))


def _flatten(arguments: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(name for names in arguments.values() for name in names)


def _attribute(op: Any, setting: Setting) -> Any:
    for attribute in op.attrs:
        if attribute.name == setting.pdmodel_name.encode():
            field = ATTRIBUTE_VALUES.get(attribute.type)
            if field is None:
                raise GraphError(
                    f"{setting.pdmodel_name} of {text(op.type)} is of type {attribute.type}"
                )
            value = getattr(attribute, field)
            if isinstance(value, bytes):
                value = text(value)
            elif field in ("ints", "longs"):
                value = tuple(value[:MAX_DIMENSIONS])
            return check_setting(setting.pdmodel_name, setting, value)
    return setting.default
