"""The faults that benchmarks/faults.py plants, one at a time, in a PicoDet-S.

Layers are named as in Layer.path. Mistakes that ports were seen to make, and some that are chosen
because they are hard to see.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
import wrong_layers as layers
import wrong_steps as steps
from planting import Fault, before, behind, forward, integral, numbers, other_layer, setting, weight
from torch import Tensor, nn
from torch.nn import functional as F

from picodet.models.picodet import PicoDet

B2, B3, B4 = (f"backbone.stage{i}" for i in (2, 3, 4))
TOP_DOWN, BOTTOM_UP = "neck.top_down_blocks", "neck.bottom_up_blocks"
LEVELS = "head.conv_feat.levels"
GREY_LEVEL = 1 / 255
BELOW = {value: np.nextafter(np.float32(value), np.float32(0)) for value in (0.025, 0.6)}


def exchange(a: Tensor, b: Tensor) -> None:
    """Two tensors, or two views of one, with each other."""
    kept = a.clone()
    a.copy_(b)
    b.copy_(kept)


def scale_one(tensor: Tensor, index: tuple[int, ...], factor: float) -> None:
    """A single value."""
    tensor[index] *= factor


def exchange_predictors(model: PicoDet) -> None:
    """Those of two levels, which have the same shape."""
    first, second = model.head.predictors[1], model.head.predictors[2]
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        exchange(one, other)


def count_from_one(model: PicoDet) -> None:
    """The values of the bins."""
    model.head.integral.project += 1


def new_epsilon(model: PicoDet) -> None:
    """In every batch norm."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-3


WEIGHTS = (
    weight(
        "BN: mean and variance exchanged",
        f"{B3}.block2.conv_linear.bn",
        lambda bn: exchange(bn.running_mean, bn.running_var),
    ),
    weight(
        "BN: gamma and beta exchanged",
        f"{B2}.block1.conv_pw2.bn",
        lambda bn: exchange(bn.weight, bn.bias),
    ),
    weight(
        "BN: statistics never loaded",
        f"{B4}.block1.conv_linear2.bn",
        lambda bn: bn.reset_running_stats(),
    ),
    weight(
        "BN: gamma never loaded",
        f"{BOTTOM_UP}.0.main_conv.bn",
        lambda bn: bn.weight.fill_(1),
    ),
    weight(
        "BN: one channel's mean off by 1 %",
        f"{B3}.block4.conv_pw.bn",
        lambda bn: scale_one(bn.running_mean, (7,), 1.01),
    ),
    weight(
        "one weight off by 1 %, 1x1",
        f"{TOP_DOWN}.0.main_conv.conv",
        lambda conv: scale_one(conv.weight, (3, 5, 0, 0), 1.01),
    ),
    weight(
        "one weight off by 1 %, depthwise",
        f"{B2}.block3.conv_dw.conv",
        lambda conv: scale_one(conv.weight, (4, 0, 1, 1), 1.01),
    ),
    weight(
        "one weight off by 0.1 %",
        f"{LEVELS}.1.pw0.conv",
        lambda conv: scale_one(conv.weight, (11, 20, 0, 0), 1.001),
    ),
    weight(
        "one pair of output channels exchanged",
        "neck.conv_t.convs.1.conv",
        lambda conv: exchange(conv.weight[4], conv.weight[5]),
    ),
    weight(
        "one pair of input channels exchanged",
        f"{B4}.block2.conv_linear.conv",
        lambda conv: exchange(conv.weight[:, 4], conv.weight[:, 5]),
    ),
    weight(
        "1x1 kernel transposed (in, out)",
        f"{BOTTOM_UP}.0.final_conv.conv",
        lambda conv: conv.weight.copy_(conv.weight.transpose(0, 1).clone()),
    ),
    weight(
        "depthwise kernel transposed (y, x)",
        f"{LEVELS}.0.dw0.conv",
        lambda conv: conv.weight.copy_(conv.weight.transpose(2, 3).clone()),
    ),
    weight(
        "kernel turned by 180 degrees",
        "backbone.stem.conv",
        lambda conv: conv.weight.copy_(conv.weight.flip(2, 3)),
    ),
    weight(
        "bias never loaded: predictor",
        "head.predictors.2",
        lambda conv: conv.bias.fill_(0),
    ),
    weight(
        "bias never loaded: SE",
        f"{B3}.block5.se.reduce",
        lambda conv: conv.bias.fill_(0),
    ),
    weight(
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
    setting("one BN's epsilon 1e-3", f"{B3}.block3.conv_pw.bn", eps=1e-3),
    setting("one BN's epsilon 1e-4", f"{TOP_DOWN}.1.final_conv.bn", eps=1e-4),
    setting("one BN's epsilon 0", f"{B2}.block2.conv_dw.bn", eps=0.0),
    Fault("every BN's epsilon 1e-3", ("layers",), ("BatchNorm2d",), new_epsilon),
    setting(
        "one BN takes the batch's statistics",
        f"{B4}.block3.conv_pw.bn",
        training=True,
        momentum=0.0,
    ),
    setting("padding 0 for 1", f"{B3}.block6.conv_dw.conv", padding=(0, 0)),
    setting("padding 1 for 2, kernel 5", f"{LEVELS}.2.dw1.conv", padding=(1, 1)),
    setting("padding repeats the edge", f"{B2}.block2.conv_dw.conv", padding_mode="replicate"),
    forward(
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
    setting("stride 1 for 2", "neck.downsamples.0.dwconv", stride=(1, 1)),
    setting("dilation 2, kernel 3", f"{B4}.block2.conv_dw.conv", dilation=(2, 2), padding=(2, 2)),
    setting("dilation 2, kernel 5", f"{LEVELS}.0.dw1.conv", dilation=(2, 2), padding=(4, 4)),
    setting("max pool with ceil_mode", "backbone.max_pool", ceil_mode=True),
    setting("max pool of 2 without padding", "backbone.max_pool", kernel_size=2, padding=0),
    setting("upsampled bilinearly", "neck.upsample", mode="bilinear"),
    setting("upsampled bicubically", "neck.upsample", mode="bicubic"),
    other_layer("mean pool for max pool", "backbone.max_pool", lambda: nn.AvgPool2d(3, 2, 1)),
    other_layer(
        "SE pools the maximum",
        f"{B3}.block3.se.avg_pool",
        lambda: nn.AdaptiveMaxPool2d(1),
    ),
)


def exchange_strides(model: PicoDet, block: str) -> None:
    """Of the depthwise convolution and the 1x1 behind it."""
    for name, stride in (("conv_dw2", (1, 1)), ("conv_linear2", (2, 2))):
        conv: Any = model.get_submodule(f"{block}.{name}.conv")
        conv.stride = stride


def hard_sigmoid(slope: float) -> layers.Function:
    """Of another slope."""
    return lambda x: torch.clamp(x * slope + 0.5, 0, 1)


SHUFFLE, SEPARABLE = f"{B3}.block4", "neck.downsamples.1"
ACTIVATIONS = (
    setting("activation missing", f"{B3}.block5.conv_linear", act=False),
    setting("activation where none belongs", f"{B2}.block3.conv_dw", act=True),
    forward("ReLU for hard-swish", "backbone.stem", layers.conv_bn(F.relu)),
    forward("swish for hard-swish", f"{B4}.block3.conv_linear", layers.conv_bn(F.silu)),
    forward("leaky ReLU for hard-swish", "neck.conv_t.convs.0", layers.conv_bn(F.leaky_relu)),
    forward("activation before the BN", f"{TOP_DOWN}.1.short_conv", layers.act_first),
    forward("BN left out", f"{B4}.block1.conv_pw2", layers.without_norm),
    forward("first activation missing", SEPARABLE, layers.separable(first=layers.same)),
    forward(
        "ReLU6 for the last hard-swish", "neck.first_top_conv", layers.separable(second=F.relu6)
    ),
    forward("head: last activation missing", "head.conv_feat", layers.tower(last=layers.same)),
    forward(
        "hard-sigmoid of slope 0.2",
        f"{B2}.block2.se",
        layers.squeeze_excite(hard_sigmoid(0.2)),
    ),
    forward("sigmoid for hard-sigmoid", f"{B3}.block1.se", layers.squeeze_excite(torch.sigmoid)),
    forward(
        "hard-sigmoid not clamped",
        f"{B2}.block1.se",
        layers.squeeze_excite(lambda x: x / 6 + 0.5),
    ),
    forward("SE without ReLU", f"{B3}.block7.se", layers.squeeze_excite(between=layers.same)),
    forward(
        "SE with hard-swish for ReLU",
        f"{B4}.block3.se",
        layers.squeeze_excite(between=F.hardswish),
    ),
    forward(
        "SE adds instead of multiplying", f"{B4}.block2.se", layers.squeeze_excite(join=torch.add)
    ),
    forward(
        "convolution in bfloat16", f"{TOP_DOWN}.0.short_conv.conv", layers.rounded(torch.bfloat16)
    ),
    forward("convolution in float16", f"{B3}.block2.conv_pw.conv", layers.rounded(torch.float16)),
    forward("convolution under autocast", f"{LEVELS}.2.pw0.conv", layers.under_autocast),
)

ORDERS = (
    forward("concat exchanged: CSP layer", f"{BOTTOM_UP}.1", layers.short_main),
    forward("concat exchanged: downsampling", f"{B4}.block1", layers.downsample_right_left),
    forward(
        "concat exchanged: ghost", f"{B2}.block3", layers.shuffle_block(ghost=layers.second_first)
    ),
    forward(
        "concat exchanged: before the shuffle",
        SHUFFLE,
        layers.shuffle_block(join=layers.second_first),
    ),
    forward("concat exchanged: neck", "neck", layers.neck(top_down=layers.second_first)),
    forward("other half worked on", f"{B3}.block6", layers.shuffle_block(lambda a, b: (b, a))),
    forward("shuffle left out", f"{B3}.block3", layers.shuffle_block(shuffle=layers.same)),
    forward(
        "shuffle with groups and channels exchanged",
        f"{B4}.block2",
        layers.shuffle_block(shuffle=layers.shuffled_by_pairs),
    ),
    forward("SE's result forgotten", f"{B3}.block1", layers.downsample_without_se),
    forward("residual that is not there", f"{TOP_DOWN}.0.blocks.0", layers.with_residual),
    forward("P4 from C4 before fusion", "neck", layers.neck(lateral=True)),
    forward("P6 without its first part", "neck", layers.neck(extra=False)),
    forward("C3 one block early", "backbone", layers.early_c3),
    forward("one level's tower for all", "head.conv_feat", layers.tower(level=0)),
    forward("BGR/RGB inside the model", "", layers.bgr_inside),
    Fault(
        "sides before scores in the head's channels",
        ("heads",),
        (),
        forward("", "head", layers.sides_first).edit,
    ),
)

DECODING = (
    integral("softmax over the sides", softmax=lambda bins: bins.softmax(dim=1)),
    integral("softmax over the cells", softmax=lambda bins: bins.softmax(dim=3)),
    integral("softmax left out", softmax=layers.same),
    integral("bins counted from 1", first=1),
    integral("channels read bin by bin", by_bin=True),
    behind("centres at the corners", "decoding", cell_centres=steps.centres(lambda c, _: c - 0.5)),
    behind(
        "centres half a pixel off", "decoding", cell_centres=steps.centres(lambda c, s: c - 0.5 / s)
    ),
    behind(
        "x and y of the cells exchanged",
        "decoding",
        cell_centres=steps.centres(lambda c, _: c[:, ::-1]),
    ),
    behind("stride 32 for 64", "decoding", cell_centres=steps.centres(lambda c, _: c, 32)),
    behind("left and top exchanged", "decoding", distances_to_boxes=steps.boxes_of([1, 0, 3, 2])),
    behind(
        "boxes clipped to the input",
        "decoding",
        decode=steps.decode_then(boxes=lambda x: x.clamp(min=0)),
    ),
    behind(
        "softmax over the classes",
        "decoding",
        decode=steps.decode_then(scores=lambda x: x.logit().softmax(dim=1)),
    ),
)

nms = partial(behind, rung="NMS")
NMS = (
    nms("IoU 0.61", multiclass_nms=steps.nms_with(iou_threshold=0.61)),
    nms("IoU 0.5", multiclass_nms=steps.nms_with(iou_threshold=0.5)),
    nms("IoU >= for >", multiclass_nms=steps.nms_with(iou_threshold=BELOW[0.6])),
    nms("score >= for >", multiclass_nms=steps.nms_with(score_threshold=BELOW[0.025])),
    nms("score threshold 0.05", multiclass_nms=steps.nms_with(score_threshold=0.05)),
    nms("keep_top_k 99", multiclass_nms=steps.nms_with(keep=99)),
    nms("nms_top_k 999", multiclass_nms=steps.nms_with(top_k=999)),
    nms("IoU of boxes a pixel longer", multiclass_nms=steps.nms_plus_one),
    nms("NMS over all classes", multiclass_nms=steps.nms_over_all),
    nms("last of equal scores first", multiclass_nms=steps.nms_last_of_equal),
    nms("sorted by score, not by class", multiclass_nms=steps.nms_by_score),
    nms("scale factor (x, y)", select=steps.select_with(factor=lambda yx: yx[::-1])),
    nms("boxes clipped to the picture", select=steps.select_with(after=lambda b: b.clip(min=0))),
)

PREPROCESSING = (
    before("BGR for RGB", "normalise", normalise=steps.normalise_by(bgr=True)),
    before(
        "mean and std in BGR order",
        "normalise",
        normalise=steps.normalise_by(numbers_reversed=True),
    ),
    before("not divided by 255", "normalise", normalise=steps.normalise_by(scale=1)),
    before("divided by 256", "normalise", normalise=steps.normalise_by(scale=256)),
    before(
        "normalised by one factor and offset",
        "normalise",
        normalise=steps.normalise_by(in_one=True),
    ),
    before("linear, whatever interp says", "resize", resize=steps.resize_with(1)),
    before("resized as floats", "resize", resize=steps.floats, normalise=steps.normalise_by()),
    before("proportions kept", "resize", resize=steps.letterbox),
    before("height and width exchanged", "probe", resize=steps.sides_exchanged),
    numbers("interp 1 for 2", ("settings: interp", "resize"), lambda _: {"interp": 1}),
    numbers(
        "green's mean off by one grey level",
        ("settings: mean", "normalise"),
        lambda old: {"mean": (old.mean[0], old.mean[1] + GREY_LEVEL, old.mean[2])},
    ),
    numbers(
        "std of red and blue exchanged",
        ("settings: std", "normalise"),
        lambda old: {"std": old.std[::-1]},
    ),
    numbers(
        "mean and std 0.5",
        ("settings: mean", "settings: std", "normalise"),
        lambda _: {"mean": (0.5,) * 3, "std": (0.5,) * 3},
    ),
)

IN_FLOAT64 = (
    forward(
        "slope 1/6 for 0.1666667", f"{B3}.block2.se", layers.squeeze_excite(F.hardsigmoid), True
    ),
    setting("epsilon 1e-5 in double", f"{B2}.block2.conv_pw.bn", eps=1e-5, float64=True),
    forward(
        "convolution in float32",
        f"{TOP_DOWN}.1.main_conv.conv",
        layers.rounded(torch.float32),
        True,
    ),
)

FAULTS: tuple[Fault, ...] = (
    *WEIGHTS,
    *SETTINGS,
    *ACTIVATIONS,
    *ORDERS,
    *DECODING,
    *NMS,
    *PREPROCESSING,
    *IN_FLOAT64,
)
