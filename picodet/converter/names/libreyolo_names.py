"""The names of LibreYOLO's PicoDet (libreyolo 1.6.0, libreyolo/models/picodet/nn.py).

It is the mmdet port with its wrappers taken away: three PicoDets of 2021 with ESNet, the blocks of
the backbone numbered through, the same shapes and orders of channels. The values of the bins are
not stored. What differs besides names: its squeeze-and-excitation cuts the gate at 6, Paddle's and
the mmdet port's at 1, so that the same weights compute something else there; it resizes linearly.
"""

from picodet.config import BackboneConfig, Head, Neck
from picodet.converter.names.mmdet_names import (
    CSP_PAN,
    ESNET_BLOCKS,
    PICO_HEAD,
    SE_WITHOUT_WRAPPERS,
    TENSORS,
    mmdet_table,
    same,
)
from picodet.converter.names.rules import NameTable, Rule

PREDICTOR = "head.gfl_cls."  # which begins the names of no other port
STAGES = {2: 3, 3: 7, 4: 3}  # blocks of each stage of ESNet

_BLOCKS = [f"stage{stage}.block{i + 1}" for stage, count in STAGES.items() for i in range(count)]
ESNET = (
    Rule("conv1", "stem"),
    *(Rule(f"blocks.{i}", block) for i, block in enumerate(_BLOCKS)),
    *(Rule(theirs, ours) for theirs, ours in ESNET_BLOCKS),
    Rule("se", "se", nested=SE_WITHOUT_WRAPPERS),
    *same("conv", "bn"),
    *TENSORS,
)
LIBREYOLO = NameTable(
    backbone=ESNET,
    neck=(Rule("trans.{i}", "conv_t.convs.{i}"), *CSP_PAN[1:]),
    head=PICO_HEAD,
)


def libreyolo_table(backbone: BackboneConfig, neck: Neck, head: Head) -> NameTable:
    """The table of a detector, which LibreYOLO has if the mmdet port does; raises as its table."""
    mmdet_table(backbone, neck, head)
    return LIBREYOLO
