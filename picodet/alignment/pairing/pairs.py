"""The model's layers and tensors, and their partners in the reference, of whatever kind it is."""

from collections.abc import Mapping
from dataclasses import dataclass

from picodet.alignment.result import Unpaired
from picodet.graphs.operators import TensorKey


@dataclass(frozen=True)
class PairedCall:
    """One call of one layer. A tensor that it takes or returns twice is listed once.

    Keys are of the reference's tensors, in the model's order; None where the reference has no such
    tensor: between a convolution and the batch norm that was folded into it.
    """

    path: str  # picodet's: backbone.stem.conv
    number: int  # of the calls of this layer, from 0
    type: str  # picodet's: Conv2d
    reference: str  # what the reference calls it, or the operator that it ends with
    inputs: tuple[TensorKey | None, ...]
    outputs: tuple[TensorKey | None, ...]
    folded_into: str | None = None  # of a convolution: path of that batch norm


@dataclass(frozen=True)
class FoldedConvBN:
    """A convolution and a batch norm that are one convolution of the reference."""

    weight: str  # the reference's names
    bias: str
    conv: str  # picodet's paths
    bn: str


@dataclass(frozen=True)
class Pairing:
    """All paired calls, in the order in which they return, and all paired weights."""

    calls: tuple[PairedCall, ...]
    weights: Mapping[str, str | FoldedConvBN]  # the reference's names by those of the state_dict
    unpaired: tuple[Unpaired, ...]  # only in the reference, and no rule explains it
