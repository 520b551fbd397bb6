"""PicoDet: backbone, neck and head, and nothing between them."""

from torch import Tensor, nn

from picodet.config import STRIDES, ModelConfig
from picodet.models.csp_pan import CSPPAN
from picodet.models.esnet import ESNet
from picodet.models.head import HeadOutput, PicoHead


class PicoDet(nn.Module):
    """images [B, 3, H, W], preprocessed, H and W multiples of 32 -> HeadOutput.

    Layers have PaddleDetection's tree and order; `picodet.converter.rules` maps the names.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c3, c4, c5 = (stage.channels for stage in config.stages)
        self.config = config
        self.backbone = ESNet(config.stages)
        self.neck = CSPPAN((c3, c4, c5), config.channels)
        self.head = PicoHead(
            config.channels,
            config.head_convs,
            len(config.classes),
            config.reg_max,
            num_levels=len(STRIDES),
        )

    def forward(self, images: Tensor) -> HeadOutput:
        return self.head(self.neck(self.backbone(images)))
