"""Our layers and tensors, and where the reference has the same, whatever kind it is."""

from collections.abc import Mapping
from dataclasses import dataclass

from picodet.alignment.result import Unpaired
from picodet.graphs.operators import TensorKey


@dataclass(frozen=True)
class PairedCall:
    """One call of one of our layers. A tensor that it takes or returns twice is listed once.

    Keys are of the reference's tensors, in our order; None where the reference has no such tensor:
    between a convolution and the batch norm that was folded into it.
    """

    path: str  # ours: backbone.stem.conv
    number: int  # of the calls of this layer, from 0
    type: str  # ours: Conv2d
    reference: str  # what the reference calls it, or the operator that it ends with
    inputs: tuple[TensorKey | None, ...]
    outputs: tuple[TensorKey | None, ...]
    folded_into: str | None = None  # of a convolution: path of that batch norm


@dataclass(frozen=True)
class FoldedConvBN:
    """A convolution and a batch norm of ours that are one convolution of the reference."""

    weight: str  # the reference's names
    bias: str
    conv: str  # our paths
    bn: str


@dataclass(frozen=True)
class Pairing:
    """All calls of our layers in the order in which they return, and all tensors that pair."""

    calls: tuple[PairedCall, ...]
    weights: Mapping[str, str | FoldedConvBN]  # what the reference calls a tensor of our state_dict
    unpaired: tuple[Unpaired, ...]  # what only the reference has, and no rule says why
