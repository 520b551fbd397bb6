"""Pairs a reference that has layers with ours, by the table that maps its weights."""

from picodet.alignment.pairing.pairs import PairedCall, Pairing
from picodet.alignment.recording.index import Index
from picodet.alignment.result import Unpaired
from picodet.converter.names.rules import NameTable
from picodet.converter.names.unmatched_tensors import PADDLE_ONLY

# Layers of ppdet's that we have on another rung, by our name, and why.
COMPARED_ELSEWHERE = {
    "head": "ppdet's head decodes and ours does not: compared as heads and decoding",
    "head.integral": "called by ppdet's head, by our decoding: compared as decoding",
}


def pair_by_name(index: Index, table: NameTable) -> Pairing:
    """Every call and every weight under our name for it."""
    calls, unpaired = [], []
    for call in index.calls:
        ours = table.to_ours(call.path)
        if ours is None:
            unpaired.append(Unpaired("reference", call.path, call.type))
        elif ours.name not in COMPARED_ELSEWHERE:
            paired = PairedCall(
                ours.name, call.number, call.type, call.path, call.inputs, call.outputs
            )
            calls.append(paired)
    weights = {}
    for weight in index.weights:
        ours = table.to_ours(weight.name)
        if ours is not None:
            weights[ours.name] = weight.name
        elif not any(only.pattern.fullmatch(weight.name) for only in PADDLE_ONLY):
            unpaired.append(Unpaired("reference", weight.name, "tensor"))
    return Pairing(tuple(calls), weights, tuple(unpaired))
