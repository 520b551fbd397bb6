"""LC-PAN, the neck of the 2022 PicoDets.

Mirrors ppdet/modeling/necks/lc_pan.py of PaddleDetection 666f597: same tree, same order.
"""

from torch import nn

from picodet.models.layers import Act
from picodet.models.lcnet import LCBlock
from picodet.models.pan import KERNEL, PathAggregation


class LCPAN(PathAggregation):
    """Path aggregation that fuses by two blocks of LCNet.

    Their activation is hard-swish whatever `act` is (lc_pan.py:81-116 does not pass it on).
    """

    def __init__(self, channels_in: tuple[int, int, int], channels: int, act: Act) -> None:
        super().__init__(
            channels_in,
            channels,
            act,
            fusion=lambda: nn.Sequential(
                LCBlock(2 * channels, 2 * channels, KERNEL),
                LCBlock(2 * channels, channels, KERNEL),
            ),
        )
