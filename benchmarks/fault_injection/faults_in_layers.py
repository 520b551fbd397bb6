"""Faults in weights and layers of a PicoDet-S, with paths as in Layer.path."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.fault_injection import wrong_layers as layers
from benchmarks.fault_injection.planting import (
    Fault,
    attribute_fault,
    forward_fault,
    replaced_layer,
    weight_fault,
)
from picodet.models.layers import HARD_SIGMOID_SLOPE
from picodet.models.picodet import PicoDet

B2, B3, B4 = (f"backbone.stage{i}" for i in (2, 3, 4))
TOP_DOWN, BOTTOM_UP = "neck.top_down_blocks", "neck.bottom_up_blocks"
LEVELS = "head.conv_feat.levels"


def exchange(a: Tensor, b: Tensor) -> None:
    """Swap two tensors, or two views of one, in place."""
    kept = a.clone()
    a.copy_(b)
    b.copy_(kept)


def scale_one(tensor: Tensor, index: tuple[int, ...], factor: float) -> None:
    """Scale a single value in place."""
    tensor[index] *= factor


def exchange_predictors(model: PicoDet) -> None:
    """Swap the predictors of two levels, which have the same shapes."""
    first, second = (model.get_submodule(f"head.predictors.{level}") for level in (1, 2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        exchange(one, other)


def count_from_one(model: PicoDet) -> None:
    """Change the values of the bins to 1, 2 .."""
    model.head.integral.project += 1


def new_epsilon(model: PicoDet) -> None:
    """Change the epsilon of every batch norm."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-3


WEIGHTS = (
    weight_fault(
        "BN: mean and variance exchanged",
        f"{B3}.block2.conv_linear.bn",
        lambda bn: exchange(bn.running_mean, bn.running_var),
    ),
    weight_fault(
        "BN: gamma and beta exchanged",
        f"{B2}.block1.conv_pw2.bn",
        lambda bn: exchange(bn.weight, bn.bias),
    ),
    weight_fault(
        "BN: statistics never loaded",
        f"{B4}.block1.conv_linear2.bn",
        lambda bn: bn.reset_running_stats(),
    ),
    weight_fault(
        "BN: gamma never loaded",
        f"{BOTTOM_UP}.0.main_conv.bn",
        lambda bn: bn.weight.fill_(1),
    ),
    weight_fault(
        "BN: one channel's mean off by 1 %",
        f"{B3}.block4.conv_pw.bn",
        lambda bn: scale_one(bn.running_mean, (7,), 1.01),
    ),
    weight_fault(
        "one weight off by 1 %, 1x1",
        f"{TOP_DOWN}.0.main_conv.conv",
        lambda conv: scale_one(conv.weight, (3, 5, 0, 0), 1.01),
    ),
    weight_fault(
        "one weight off by 1 %, depthwise",
        f"{B2}.block3.conv_dw.conv",
        lambda conv: scale_one(conv.weight, (4, 0, 1, 1), 1.01),
    ),
    weight_fault(
        "one weight off by 0.3 %",
        f"{LEVELS}.1.pw0.conv",
        lambda conv: scale_one(conv.weight, (11, 20, 0, 0), 1.003),
    ),
    weight_fault(
        "one pair of output channels exchanged",
        "neck.conv_t.convs.1.conv",
        lambda conv: exchange(conv.weight[4], conv.weight[5]),
    ),
    weight_fault(
        "one pair of input channels exchanged",
        f"{B4}.block2.conv_linear.conv",
        lambda conv: exchange(conv.weight[:, 4], conv.weight[:, 5]),
    ),
    weight_fault(
        "1x1 kernel transposed (in, out)",
        f"{BOTTOM_UP}.0.final_conv.conv",
        lambda conv: conv.weight.copy_(conv.weight.transpose(0, 1).clone()),
    ),
    weight_fault(
        "depthwise kernel transposed (y, x)",
        f"{LEVELS}.0.dw0.conv",
        lambda conv: conv.weight.copy_(conv.weight.transpose(2, 3).clone()),
    ),
    weight_fault(
        "kernel turned by 180 degrees",
        "backbone.stem.conv",
        lambda conv: conv.weight.copy_(conv.weight.flip(2, 3)),
    ),
    weight_fault(
        "bias never loaded: predictor",
        "head.predictors.2",
        lambda conv: conv.bias.fill_(0),
    ),
    weight_fault(
        "bias never loaded: SE",
        f"{B3}.block5.se.reduce",
        lambda conv: conv.bias.fill_(0),
    ),
    weight_fault(
        "weights rounded to float16",
        f"{B4}.block1.conv_pw_merge.conv",
        lambda conv: conv.weight.copy_(conv.weight.half()),
    ),
    Fault(
        "predictors of two levels exchanged",
        ("weights", "layers"),
        ("head.predictors.1", "head.predictors.2"),
        exchange_predictors,
    ),
    Fault("bins' values from 1", ("weights", "decoding"), (), count_from_one),
)

SETTINGS = (
    attribute_fault("one BN's epsilon 1e-3", f"{B3}.block3.conv_pw.bn", eps=1e-3),
    attribute_fault("one BN's epsilon 1e-4", f"{TOP_DOWN}.1.final_conv.bn", eps=1e-4),
    attribute_fault("one BN's epsilon 0", f"{B2}.block2.conv_dw.bn", eps=0.0),
    Fault("every BN's epsilon 1e-3", ("layers",), ("BatchNorm2d",), new_epsilon),
    attribute_fault(
        "one BN takes the batch's statistics",
        f"{B4}.block3.conv_pw.bn",
        training=True,
        momentum=0.0,
    ),
    attribute_fault("padding 0 for 1", f"{B3}.block6.conv_dw.conv", padding=(0, 0)),
    attribute_fault("padding 1 for 2, kernel 5", f"{LEVELS}.2.dw1.conv", padding=(1, 1)),
    attribute_fault(
        "padding repeats the edge", f"{B2}.block2.conv_dw.conv", padding_mode="replicate"
    ),
    forward_fault(
        "padding right and below only",
        f"{B3}.block1.conv_dw1.conv",
        layers.padded_like_tensorflow,
    ),
    Fault(
        "stride in the 1x1, not in the depthwise",
        ("layers",),
        (f"{B3}.block1.conv_dw2.conv", f"{B3}.block1.conv_linear2.conv"),
        lambda model: exchange_strides(model, f"{B3}.block1"),
    ),
    attribute_fault("stride 1 for 2", "neck.downsamples.0.dwconv", stride=(1, 1)),
    attribute_fault(
        "dilation 2, kernel 3", f"{B4}.block2.conv_dw.conv", dilation=(2, 2), padding=(2, 2)
    ),
    attribute_fault(
        "dilation 2, kernel 5", f"{LEVELS}.0.dw1.conv", dilation=(2, 2), padding=(4, 4)
    ),
    attribute_fault("max pool with ceil_mode", "backbone.max_pool", ceil_mode=True),
    attribute_fault("max pool of 2 without padding", "backbone.max_pool", kernel_size=2, padding=0),
    attribute_fault("upsampled bilinearly", "neck.upsample", mode="bilinear"),
    attribute_fault("upsampled bicubically", "neck.upsample", mode="bicubic"),
    replaced_layer("mean pool for max pool", "backbone.max_pool", lambda: nn.AvgPool2d(3, 2, 1)),
    replaced_layer(
        "SE pools the maximum",
        f"{B3}.block3.se.avg_pool",
        lambda: nn.AdaptiveMaxPool2d(1),
    ),
)


def exchange_strides(model: PicoDet, block: str) -> None:
    """Swap the strides of the depthwise convolution and of the 1x1 after it."""
    for name, stride in (("conv_dw2", (1, 1)), ("conv_linear2", (2, 2))):
        conv: Any = model.get_submodule(f"{block}.{name}.conv")
        conv.stride = stride


def hard_sigmoid(slope: float) -> layers.Function:
    """A hard sigmoid of another slope."""
    return lambda x: torch.clamp(x * slope + 0.5, 0, 1)


SHUFFLE, SEPARABLE = f"{B3}.block4", "neck.downsamples.1"
ACTIVATIONS = (
    attribute_fault("activation missing", f"{B3}.block5.conv_linear", act=None),
    attribute_fault("activation where none belongs", f"{B2}.block3.conv_dw", act=F.hardswish),
    forward_fault("ReLU for hard-swish", "backbone.stem", layers.conv_bn(F.relu)),
    forward_fault("swish for hard-swish", f"{B4}.block3.conv_linear", layers.conv_bn(F.silu)),
    forward_fault("leaky ReLU for hard-swish", "neck.conv_t.convs.0", layers.conv_bn(F.leaky_relu)),
    forward_fault("activation before the BN", f"{TOP_DOWN}.1.short_conv", layers.act_first),
    forward_fault("BN left out", f"{B4}.block1.conv_pw2", layers.without_norm),
    forward_fault("first activation missing", SEPARABLE, layers.separable(first=layers.same)),
    forward_fault(
        "ReLU6 for the last hard-swish", "neck.first_top_conv", layers.separable(second=F.relu6)
    ),
    forward_fault(
        "head: last activation missing", "head.conv_feat", layers.tower(last=layers.same)
    ),
    forward_fault(
        "hard-sigmoid of slope 0.2",
        f"{B2}.block2.se",
        layers.squeeze_excite(hard_sigmoid(0.2)),
    ),
    forward_fault(
        "sigmoid for hard-sigmoid", f"{B3}.block1.se", layers.squeeze_excite(torch.sigmoid)
    ),
    forward_fault(
        "hard-sigmoid not clamped",
        f"{B4}.block2.se",
        layers.squeeze_excite(lambda x: x * HARD_SIGMOID_SLOPE + 0.5),
    ),
    forward_fault("SE without ReLU", f"{B3}.block6.se", layers.squeeze_excite(between=layers.same)),
    forward_fault(
        "SE with hard-swish for ReLU",
        f"{B4}.block3.se",
        layers.squeeze_excite(between=F.hardswish),
    ),
    forward_fault(
        "SE adds instead of multiplying", f"{B4}.block2.se", layers.squeeze_excite(join=torch.add)
    ),
    forward_fault(
        "convolution in bfloat16", f"{TOP_DOWN}.0.short_conv.conv", layers.rounded(torch.bfloat16)
    ),
    forward_fault(
        "convolution in float16", f"{B3}.block2.conv_pw.conv", layers.rounded(torch.float16)
    ),
    forward_fault("convolution under autocast", f"{LEVELS}.2.pw0.conv", layers.under_autocast),
)

ORDERS = (
    forward_fault("concat exchanged: CSP layer", f"{BOTTOM_UP}.1", layers.short_main),
    forward_fault("concat exchanged: downsampling", f"{B4}.block1", layers.downsample_right_left),
    forward_fault(
        "concat exchanged: ghost", f"{B2}.block3", layers.shuffle_block(ghost=layers.second_first)
    ),
    forward_fault(
        "concat exchanged: before the shuffle",
        SHUFFLE,
        layers.shuffle_block(join=layers.second_first),
    ),
    forward_fault("concat exchanged: neck", "neck", layers.neck(top_down=layers.second_first)),
    forward_fault(
        "other half worked on", f"{B3}.block6", layers.shuffle_block(lambda a, b: (b, a))
    ),
    forward_fault("shuffle left out", f"{B3}.block3", layers.shuffle_block(shuffle=layers.same)),
    forward_fault(
        "shuffle with groups and channels exchanged",
        f"{B4}.block2",
        layers.shuffle_block(shuffle=layers.shuffled_by_pairs),
    ),
    forward_fault("SE's result forgotten", f"{B3}.block1", layers.downsample_without_se),
    forward_fault("residual that is not there", f"{TOP_DOWN}.0.blocks.0", layers.with_residual),
    forward_fault("P4 from C4 before fusion", "neck", layers.neck(lateral=True)),
    forward_fault("P6 without its first part", "neck", layers.neck(extra=False)),
    forward_fault("C3 one block early", "backbone", layers.early_c3),
    forward_fault("one level's tower for all", "head.conv_feat", layers.tower(level=0)),
    forward_fault("BGR/RGB inside the model", "", layers.bgr_inside),
    Fault(
        "sides before scores in the head's channels",
        ("heads",),
        (),
        forward_fault("", "head", layers.reg_first).edit,
    ),
)
