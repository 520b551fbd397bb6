"""Layers folded by the block of the network that they are part of, and its worst difference."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from picodet.alignment.result import Difference, Layer, Status, worst

ROOT_BLOCK = "the whole model"  # the block of the root of the tree, whose path is empty

# backbone.stem, backbone.stage2.block1, neck.conv_t, neck.downsamples.0: two names, and a third
# where that is a number or names a block
_BLOCK = re.compile(r"[^.]+\.[^.]+(?:\.(?:(?:block)?\d+|res\d\w)(?=\.|$))?")
_LEVEL = re.compile(
    r"head\.(?:conv_feat\.(?:levels|(?P<se>se))|(?P<alignment>alignment)|predictors)"
    r"\.(?P<of>classes|reg)?(?P<level>\d+)(?=\.|$)"
)


@dataclass(frozen=True)
class Block:
    """A row of the folded table, and a box of the network diagram."""

    name: str
    layers: tuple[Layer, ...]

    @property
    def local(self) -> Difference | None:
        """The worst of its layers alone."""
        return worst(layer.local for layer in self.layers)

    @property
    def accumulated(self) -> Difference | None:
        """The worst of the whole model up to its layers."""
        return worst(layer.accumulated for layer in self.layers)

    @property
    def status(self) -> Status:
        """Guilty if one layer is, else affected if one is."""
        found = {layer.status for layer in self.layers}
        return "guilty" if "guilty" in found else "affected" if "affected" in found else "aligned"


def blocks(layers: Sequence[Layer]) -> tuple[Block, ...]:
    """The blocks of all layers, in the order in which the forward pass first reaches them."""
    groups: dict[str, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(block_name(layer), []).append(layer)
    return tuple(Block(name, tuple(group)) for name, group in groups.items())


def block_name(layer: Layer) -> str:
    """The block of a layer. The head is folded by level: tower and predictor are one block."""
    path = layer.path.split(" + ")[0]
    if path == "head.conv_feat":  # is called once per level
        return f"head level {layer.call}"
    if level := _LEVEL.match(path):
        return f"head level {level['level']}"
    block = _BLOCK.match(path)
    return block[0] if block else path or ROOT_BLOCK


def name_in_block(block: Block, layer: Layer) -> str:
    """A layer's name within its block; with the number of the call if it is called repeatedly."""
    parts = (_LEVEL.sub(_part_name, part) for part in layer.path.split(" + "))
    name = " + ".join(
        "itself" if part == block.name else part.removeprefix(f"{block.name}.") for part in parts
    )
    calls = sum(other.path == layer.path for other in block.layers)
    return f"{name or 'itself'}{f', call {layer.call}' if calls > 1 else ''}"


def _part_name(level: re.Match[str]) -> str:
    """The name of a part of a head's level, whose tower is the block itself."""
    if ".predictors." in level[0]:
        return f"predictor of {level['of']}" if level["of"] else "predictor"
    return level["se"] or level["alignment"] or f"head level {level['level']}"
