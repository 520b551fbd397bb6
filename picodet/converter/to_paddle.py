"""Our weights -> the arrays of a checkpoint that ppdet takes without a name too many or too few.

The inverse of `picodet.converter.match_tensors`: the same name table, read from our side, and the
same list of what exists on one side only.
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

# The order in which ppdet's heads make their layers, and so that of their state_dict. Backbones
# and necks have it from our models, which make theirs in the same order.
HEAD_ORDER = (
    *(r"conv_feat\.se\.", r"conv_feat\.", r"p\d_feat\.", r"distribution_project\."),
    *(r"head_cls_list\.", r"head_reg_list\.", r"cls_align\.", r"head_(?:cls|reg)(?P<level>\d+)\."),
)
_HEAD_ORDER = [re.compile(r"head\." + beginning) for beginning in HEAD_ORDER]


@dataclass(frozen=True)
class PaddleStateDict:
    """The arrays of a ppdet checkpoint, and what they have lost and gained."""

    arrays: dict[str, np.ndarray] = field(repr=False)  # in the order of ppdet's state_dict
    reconstructed: tuple[
        UnmatchedTensor, ...
    ]  # what our model has not, made again as ppdet makes it
    dropped: tuple[UnmatchedTensor, ...]  # what ppdet has no place for


def to_paddle(weights: Mapping[str, np.ndarray], table: NameTable) -> PaddleStateDict:
    """The weights of a model, by our names with their part in front, as ppdet would save them.

    Raises ConversionError where the table has no word for one of them.
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
    """The same arrays by the table's other names; all of them or a ConversionError."""
    there = {name: table.to_paddle(name) for name in weights}
    if unknown := [name for name, translation in there.items() if translation is None]:
        raise ConversionError(
            f"{len(unknown)} of {len(weights)} weights have no name on the other side, first "
            f"{unknown[0]}: is it another architecture?"
        )
    return {there.name: weights[name] for name, there in there.items() if there}


def _sort_key(name: str) -> tuple[int, int]:
    """Where a name stands; alike for all that stay in the order they came in."""
    for place, beginning in enumerate(_HEAD_ORDER, 1):
        if match := beginning.match(name):
            return place, int(match.groupdict().get("level") or 0)
    return 0, 0
