"""Pairs a reference that has named layers, by the table that maps its weights."""

from picodet.alignment.pairing.pairs import PairedCall, Pairing
from picodet.alignment.recording.index import Index
from picodet.alignment.result import Unpaired
from picodet.converter.names.rules import NameTable
from picodet.converter.names.unmatched_tensors import PADDLE_ONLY

# Layers of ppdet that other stages compare, by picodet's name, and why.
COMPARED_ELSEWHERE = {
    "head": "ppdet's head decodes, picodet's does not: compared as heads and decoding",
    "head.integral": "called by ppdet's head and by picodet's decoding: compared as decoding",
}


def pair_by_name(index: Index, table: NameTable) -> Pairing:
    """Every call and every weight of a recording, under picodet's name for it."""
    calls, unpaired = [], []
    for call in index.calls:
        found = table.to_ours(call.path)
        if found is None:
            unpaired.append(Unpaired("reference", call.path, call.type))
        elif found.name not in COMPARED_ELSEWHERE:
            paired = PairedCall(
                found.name, call.number, call.type, call.path, call.inputs, call.outputs
            )
            calls.append(paired)
    weights = {}
    for weight in index.weights:
        found = table.to_ours(weight.name)
        if found is not None:
            weights[found.name] = weight.name
        elif not any(only.pattern.fullmatch(weight.name) for only in PADDLE_ONLY):
            unpaired.append(Unpaired("reference", weight.name, "tensor"))
    return Pairing(tuple(calls), weights, tuple(unpaired))
