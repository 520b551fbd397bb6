"""Forward functions of layers with the mistakes of ports.

Each takes the layer as its first argument and is not bound to one, so that a model with it can be
copied. The factories with their defaults give the right forward.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from picodet.models.head import HeadOutput
from picodet.models.layers import channel_shuffle, hard_sigmoid

Function = Callable[[Tensor], Tensor]
Join = Callable[[Tensor, Tensor], Tensor]


def same(x: Tensor) -> Tensor:
    """The identity."""
    return x


def first_second(a: Tensor, b: Tensor) -> Tensor:
    """Concatenation in the right order."""
    return torch.cat([a, b], dim=1)


def second_first(a: Tensor, b: Tensor) -> Tensor:
    """Concatenation in the wrong order."""
    return torch.cat([b, a], dim=1)


# layers


def conv_bn(act: Function = F.hardswish) -> Callable[[Any, Tensor], Tensor]:
    """ConvBN with another activation."""
    return lambda self, x: act(self.bn(self.conv(x)))


def without_norm(self: Any, x: Tensor) -> Tensor:
    """ConvBN that never calls its batch norm."""
    return F.hardswish(self.conv(x))


def act_first(self: Any, x: Tensor) -> Tensor:
    """ConvBN with the activation before the batch norm."""
    return self.bn(F.hardswish(self.conv(x)))


def separable(
    first: Function = F.hardswish, second: Function = F.hardswish
) -> Callable[[Any, Tensor], Tensor]:
    """DepthwiseSeparable with other activations."""
    return lambda self, x: second(self.bn2(self.pwconv(first(self.bn1(self.dwconv(x))))))


def squeeze_excite(
    gate: Function = hard_sigmoid, between: Function = F.relu, join: Join = operator.mul
) -> Callable[[Any, Tensor], Tensor]:
    """SqueezeExcite with another gate, activation or product."""
    return lambda self, x: join(x, gate(self.expand(between(self.reduce(self.avg_pool(x))))))


def rounded(dtype: torch.dtype) -> Callable[[Any, Tensor], Tensor]:
    """A convolution whose input is rounded, as in mixed precision."""
    return lambda self, x: self._conv_forward(x.to(dtype).to(x.dtype), self.weight, self.bias)


def under_autocast(self: Any, x: Tensor) -> Tensor:
    """A convolution as torch.autocast runs it: float32 in bfloat16, float64 as it is."""
    with torch.autocast("cpu", torch.bfloat16):
        return self._conv_forward(x, self.weight, self.bias).to(x.dtype)


def padded_like_tensorflow(self: Any, x: Tensor) -> Tensor:
    """A convolution of kernel 3 and stride 2 that pads only on the right and below."""
    return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, None, 2, 0, groups=self.groups)


# blocks


def shuffle_block(
    halves: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda a, b: (a, b),
    ghost: Join = first_second,
    join: Join = first_second,
    shuffle: Function = channel_shuffle,
) -> Callable[[Any, Tensor], Tensor]:
    """ShuffleBlock with other orders of its channels."""

    def forward(self: Any, x: Tensor) -> Tensor:
        passed, worked = halves(*x.chunk(2, dim=1))
        worked = self.conv_pw(worked)
        worked = self.se(ghost(worked, self.conv_dw(worked)))
        return shuffle(join(passed, self.conv_linear(worked)))

    return forward


def shuffled_by_pairs(x: Tensor) -> Tensor:
    """Channel shuffle with groups and channels per group exchanged."""
    b, c, h, w = x.shape
    return x.view(b, c // 2, 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def downsample_right_left(self: Any, x: Tensor) -> Tensor:
    """DownsampleBlock with its branches in the wrong order."""
    left = self.conv_linear1(self.conv_dw1(x))
    right = self.conv_linear2(self.se(self.conv_dw2(self.conv_pw2(x))))
    return self.conv_pw_merge(self.conv_dw_merge(torch.cat([right, left], dim=1)))


def downsample_without_se(self: Any, x: Tensor) -> Tensor:
    """DownsampleBlock that calls its squeeze-and-excitation and drops the result."""
    left = self.conv_linear1(self.conv_dw1(x))
    right = self.conv_dw2(self.conv_pw2(x))
    self.se(right)
    right = self.conv_linear2(right)
    return self.conv_pw_merge(self.conv_dw_merge(torch.cat([left, right], dim=1)))


def short_main(self: Any, x: Tensor) -> Tensor:
    """CSPLayer with its branches in the wrong order."""
    short = self.short_conv(x)
    main = self.blocks(self.main_conv(x))
    return self.final_conv(torch.cat([short, main], dim=1))


def with_residual(self: Any, x: Tensor) -> Tensor:
    """Bottleneck with the residual that CSPNet has and PicoDet does not have."""
    return x + self.conv2(self.conv1(x))


def neck(
    top_down: Join = first_second, lateral: bool = False, extra: bool = True
) -> Callable[[Any, tuple[Tensor, Tensor, Tensor]], tuple[Tensor, ...]]:
    """CSPPAN; lateral: P4 is made from C4 before its fusion; extra: P6 has both of its parts."""

    def forward(self: Any, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
        t3, t4, t5 = self.conv_t(features)
        inner4 = self.top_down_blocks[0](top_down(self.upsample(t5), t4))
        p3 = self.top_down_blocks[1](top_down(self.upsample(inner4), t3))
        beside = t4 if lateral else inner4
        p4 = self.bottom_up_blocks[0](torch.cat([self.downsamples[0](p3), beside], dim=1))
        p5 = self.bottom_up_blocks[1](torch.cat([self.downsamples[1](p4), t5], dim=1))
        p6 = self.second_top_conv(p5)
        return p3, p4, p5, (self.first_top_conv(t5) + p6 if extra else p6)

    return forward


def early_c3(self: Any, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ESNet that returns C3 one block too early."""
    x = self.max_pool(self.stem(images))
    outputs: list[Tensor] = []
    for stage in (self.stage2, self.stage3, self.stage4):
        for block in stage.children():
            before, x = x, block(x)
        outputs.append(x if outputs else before)
    return outputs[0], outputs[1], outputs[2]


def tower(
    last: Function = F.hardswish, level: int | None = None
) -> Callable[[Any, Tensor, int], Tensor]:
    """PicoFeat with another last activation, or with one level's layers for all."""

    def forward(self: Any, x: Tensor, of_level: int) -> Tensor:
        *convs, end = self.levels[of_level if level is None else level].children()
        for conv in convs:
            x = F.hardswish(conv(x))
        return last(end(x))

    return forward


def reg_first(self: Any, features: tuple[Tensor, ...]) -> HeadOutput:
    """PicoHead with the channels of reg before those of the classes."""
    split = self.split[::-1]
    sides, logits = [], []
    for level, (x, predictor) in enumerate(zip(features, self.predictors, strict=True)):
        of_sides, of_classes = predictor(self.conv_feat(x, level)).split(split, dim=1)
        sides.append(of_sides)
        logits.append(of_classes)
    return HeadOutput(tuple(logits), tuple(sides))


def bgr_inside(self: Any, images: Tensor) -> HeadOutput:
    """PicoDet that swaps red and blue once more."""
    return self.head(self.neck(self.backbone(images.flip(1))))


def integral(
    softmax: Function = lambda bins: bins.softmax(dim=2), first: int = 0, by_bin: bool = False
) -> Callable[[Any, Tensor], Tensor]:
    """Integral with another softmax, first bin or order of channels."""

    def forward(self: Any, sides: Tensor) -> Tensor:
        count = len(self.project)
        bins = sides.unflatten(1, (4, count))
        if by_bin:
            bins = sides.unflatten(1, (count, 4)).transpose(1, 2)
        return torch.einsum("bsna,n->bsa", softmax(bins), self.project + first)

    return forward
