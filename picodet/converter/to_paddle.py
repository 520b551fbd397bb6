"""Converts PyTorch weights to the arrays of a checkpoint that ppdet loads strictly.

The inverse of `picodet.converter.match_tensors`: the same name table in the other direction, and
the same list of tensors that exist on one side only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from picodet.converter.match_tensors import UnmatchedTensor
from picodet.converter.names.rules import NameTable
from picodet.converter.names.unmatched_tensors import (
    PADDLE_ONLY,
    TORCH_ONLY_REASON,
    TORCH_ONLY_SUFFIX,
)
from picodet.errors import ConversionError

# The order in which ppdet's heads create their layers, and so of their state_dict. The backbones
# and necks of picodet create theirs in ppdet's order already.
HEAD_ORDER = (
    *(r"conv_feat\.se\.", r"conv_feat\.", r"p\d_feat\.", r"distribution_project\."),
    *(r"head_cls_list\.", r"head_reg_list\.", r"cls_align\.", r"head_(?:cls|reg)(?P<level>\d+)\."),
)
_HEAD_ORDER = [re.compile(r"head\." + beginning) for beginning in HEAD_ORDER]


@dataclass(frozen=True)
class PaddleStateDict:
    """The arrays of a ppdet checkpoint, and which tensors were added and dropped."""

    arrays: dict[str, np.ndarray] = field(repr=False)  # in the order of ppdet's state_dict
    reconstructed: tuple[UnmatchedTensor, ...]  # which the PyTorch model lacks, set as ppdet does
    dropped: tuple[UnmatchedTensor, ...]  # which ppdet does not have


def to_paddle(weights: Mapping[str, np.ndarray], table: NameTable) -> PaddleStateDict:
    """The weights of a model, by PyTorch names such as `backbone.stem..`, as ppdet saves them.

    Raises ConversionError where the table has no name for one of them.
    """
    dropped = [name for name in weights if name.endswith(TORCH_ONLY_SUFFIX)]
    arrays = rename_tensors({name: weights[name] for name in weights if name not in dropped}, table)
    reconstructed = []
    for only in PADDLE_ONLY:
        made = only.reconstruct(arrays)
        arrays |= made
        reconstructed += [UnmatchedTensor(name, only.reason) for name in made]
    return PaddleStateDict(
        arrays={name: arrays[name] for name in sorted(arrays, key=_sort_key)},
        reconstructed=tuple(reconstructed),
        dropped=tuple(UnmatchedTensor(name, TORCH_ONLY_REASON) for name in dropped),
    )


def rename_tensors(weights: Mapping[str, np.ndarray], table: NameTable) -> dict[str, np.ndarray]:
    """The arrays by the table's `paddle` names. Raises ConversionError if one has none."""
    there = {name: table.to_paddle(name) for name in weights}
    if unknown := [name for name, translation in there.items() if translation is None]:
        raise ConversionError(
            f"{len(unknown)} of {len(weights)} weights have no name in the target's naming scheme, "
            f"first {unknown[0]}: is it another architecture?"
        )
    return {there.name: weights[name] for name, there in there.items() if there}


def _sort_key(name: str) -> tuple[int, int]:
    """The position of a name in ppdet's order; equal for names that keep their order."""
    for place, beginning in enumerate(_HEAD_ORDER, 1):
        if match := beginning.match(name):
            return place, int(match.groupdict().get("level") or 0)
    return 0, 0
