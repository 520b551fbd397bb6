"""Weight initialization, as in ppdet.

Batch norms start as the identity, biases at zero. Fans are those of Paddle: of a kernel
[out, in / groups, k, k], fan in is in / groups * k * k (paddle/nn/initializer/initializer.py).
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Generator, nn

from picodet.models.csp_pan import CSPPAN
from picodet.models.esnet import ESNet
from picodet.models.head import PicoHead
from picodet.models.layers import BatchNorm2d
from picodet.models.lc_pan import LCPAN
from picodet.models.lcnet import LCBlock, LCNet
from picodet.models.mobilenet_v3 import MobileNetV3
from picodet.models.pico_head_v2 import Alignment, PicoHeadV2, PicoSE
from picodet.models.picodet import PicoDet
from picodet.models.resnet_vd import ResNet
from picodet.models.shufflenet_v2 import ShuffleNetV2
from picodet.training.layer_lookup import nearest

# of a class at an anchor point, before training (heads/pico_head.py: prior_prob)
PRIOR_PROB = 0.01
PRIOR_LOGIT = -math.log((1 - PRIOR_PROB) / PRIOR_PROB)
TOWER_STD = 0.01
SE_STD = 0.001

Initializer = Callable[[nn.Conv2d, Generator], None]  # fills the weight


def kaiming_normal(conv: nn.Conv2d, generator: Generator) -> None:
    """Normal, standard deviation sqrt(2 / fan_in)."""
    conv.weight.normal_(0, math.sqrt(2 / conv.weight[0].numel()), generator=generator)


def kaiming_uniform(conv: nn.Conv2d, generator: Generator) -> None:
    """Uniform between -sqrt(6 / fan_in) and sqrt(6 / fan_in)."""
    bound = math.sqrt(6 / conv.weight[0].numel())
    conv.weight.uniform_(-bound, bound, generator=generator)


def paddle_normal(conv: nn.Conv2d, generator: Generator) -> None:
    """Paddle's default: normal, standard deviation sqrt(2 / (in * k * k)), whatever the groups.

    paddle/nn/layer/conv.py:63-68. For depthwise convolutions that is small.
    """
    fan_in = conv.weight[0].numel() * conv.groups
    conv.weight.normal_(0, math.sqrt(2 / fan_in), generator=generator)


def head_normal(conv: nn.Conv2d, generator: Generator) -> None:
    """Init of the head's towers and predictors: normal, standard deviation 0.01."""
    conv.weight.normal_(0, TOWER_STD, generator=generator)


INITIALIZERS: Mapping[type[nn.Module], Initializer] = {
    # backbones/shufflenet_v2.py:52, which esnet.py takes its ConvBNLayer from, and lcnet.py:82. For
    # squeeze-and-excitation they set none; Paddle's default is the same for a 1x1 convolution
    ESNet: kaiming_normal,
    LCNet: kaiming_normal,
    ShuffleNetV2: kaiming_normal,
    # backbones/mobilenet_v3.py:64-65, resnet.py:57 set none
    MobileNetV3: paddle_normal,
    ResNet: paddle_normal,
    # necks/csp_pan.py:37, 79; lc_pan.py's fusing blocks are lcnet.py's
    CSPPAN: kaiming_uniform,
    LCPAN: kaiming_uniform,
    LCBlock: kaiming_normal,
    # ppdet/modeling/layers.py:200 and heads/pico_head.py:269-272, 515-530
    PicoHead: head_normal,
    PicoHeadV2: head_normal,
    # heads/pico_head.py:535: a DPModule of csp_pan.py
    Alignment: kaiming_uniform,
}


@torch.no_grad()
def init_weights(model: PicoDet, generator: Generator) -> None:
    """Initialize all weights, in place. `generator` is on the model's device."""
    _init_part(model.backbone, generator)
    _init_part(model.neck, generator)
    init_head(model, generator)


@torch.no_grad()
def init_head(model: PicoDet, generator: Generator) -> None:
    """Initialize the whole head, in place."""
    _init_part(model.head, generator)
    for layer in model.head.modules():
        if isinstance(layer, PicoSE):
            layer.fc.weight.normal_(0, SE_STD, generator=generator)
    init_predictors(model, generator)


@torch.no_grad()
def init_predictors(model: PicoDet, generator: Generator) -> None:
    """Initialize, in place, what depends on the number of classes, not the rest of the head.

    For other classes ppdet does the same: it loads every tensor whose shape fits
    (ppdet/utils/checkpoint.py:135-205). PicoHead predicts classes and boxes by one convolution, so
    its box regression is initialized as well; PicoHeadV2 keeps it.
    """
    for name, predictor in model.head.predictors.named_children():
        if isinstance(predictor, nn.Conv2d) and not name.startswith("reg"):
            head_normal(predictor, generator)
            if predictor.bias is not None:
                predictor.bias.fill_(PRIOR_LOGIT)


def _init_part(part: nn.Module, generator: Generator) -> None:
    for _, layer, initializer in nearest(part, INITIALIZERS):
        if isinstance(layer, BatchNorm2d):
            layer.reset_parameters()
        elif isinstance(layer, nn.Conv2d):
            initializer(layer, generator)
            if layer.bias is not None:
                layer.bias.zero_()
