"""Layers folded by the block of the network that they are part of, and which gap is worst."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from picodet.alignment.result import Difference, Layer, Status

ROOT_BLOCK = "the whole model"  # the block of the root of the tree, whose path is empty

# backbone.stem, backbone.stage2.block1, neck.conv_t, neck.downsamples.0: two names, and a third
# where it is a number or a block's
_BLOCK = re.compile(r"[^.]+\.[^.]+(?:\.(?:(?:block)?\d+|res\d\w)(?=\.|$))?")
_LEVEL = re.compile(
    r"head\.(?:conv_feat\.(?:levels|(?P<se>se))|(?P<alignment>alignment)|predictors)"
    r"\.(?P<of>classes|sides)?(?P<level>\d+)(?=\.|$)"
)


@dataclass(frozen=True)
class Block:
    """What a row of the folded table and a box of the drawn network stand for."""

    name: str
    layers: tuple[Layer, ...]

    @property
    def local(self) -> Difference | None:
        return worst(layer.local for layer in self.layers)

    @property
    def accumulated(self) -> Difference | None:
        return worst(layer.accumulated for layer in self.layers)

    @property
    def status(self) -> Status:
        found = {layer.status for layer in self.layers}
        return "guilty" if "guilty" in found else "affected" if "affected" in found else "aligned"


def worst(differences: Iterable[Difference | None]) -> Difference | None:
    """One that fails before one that passes, then by error over noise; None where none is."""
    return max((difference for difference in differences if difference), key=_badness, default=None)


def _badness(difference: Difference) -> tuple[bool, float]:
    return not difference.ok, math.inf if math.isnan(
        difference.error_over_noise
    ) else difference.error_over_noise


def blocks(layers: Sequence[Layer]) -> tuple[Block, ...]:
    """In the order in which the forward pass first reaches them."""
    groups: dict[str, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(block_name(layer), []).append(layer)
    return tuple(Block(name, tuple(group)) for name, group in groups.items())


def block_name(layer: Layer) -> str:
    """The head is folded by level: a level's tower and its predictor are one block."""
    path = layer.path.split(" + ")[0]
    if path == "head.conv_feat":  # is called once per level
        return f"head level {layer.call}"
    if level := _LEVEL.match(path):
        return f"head level {level['level']}"
    block = _BLOCK.match(path)
    return block[0] if block else path or ROOT_BLOCK


def name_in_block(block: Block, layer: Layer) -> str:
    """What a layer is called in its block; the call is named where it is not the only one."""
    parts = (_LEVEL.sub(_part_name, part) for part in layer.path.split(" + "))
    name = " + ".join(
        "itself" if part == block.name else part.removeprefix(f"{block.name}.") for part in parts
    )
    calls = sum(other.path == layer.path for other in block.layers)
    return f"{name or 'itself'}{f', call {layer.call}' if calls > 1 else ''}"


def _part_name(level: re.Match[str]) -> str:
    """What a part of a head's level is called: its tower is the block itself."""
    if ".predictors." in level[0]:
        return f"predictor of {level['of']}" if level["of"] else "predictor"
    return level["se"] or level["alignment"] or f"head level {level['level']}"
