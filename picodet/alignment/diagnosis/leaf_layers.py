"""Leaf layers: copies with another setting, one of which may give the reference's output."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from picodet.models.layers import EPSILON

EPSILONS = (EPSILON, 1e-5, 1e-3, 1e-4, 1e-6, 1e-7, 2e-5, 0.0)


def variants(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Changed copies, each with a description of what would then be wrong in `module`."""
    if isinstance(module, nn.BatchNorm2d):
        yield from _batch_norms(module)
    elif isinstance(module, nn.Conv2d):
        yield from _convolutions(module)
    elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        yield from _max_pools(module)
    elif isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        yield from _global_pools(module)
    elif isinstance(module, nn.Upsample):
        yield from _upsamples(module)


def _copy_with(module: nn.Module, **attributes: object) -> nn.Module:
    copied = copy.deepcopy(module)
    for name, value in attributes.items():
        setattr(copied, name, value)
    return copied


def _batch_norms(module: nn.BatchNorm2d) -> Iterator[tuple[str, nn.Module]]:
    for eps in EPSILONS:
        if eps != module.eps:
            yield (
                f"eps is {module.eps:.8g}; the reference's is {eps:.8g}",
                _copy_with(module, eps=eps),
            )
    yield (
        "running_mean and running_var are exchanged",
        _copy_with(module, running_mean=module.running_var, running_var=module.running_mean),
    )
    yield (
        "weight and bias (gamma and beta) are exchanged",
        _copy_with(module, weight=module.bias, bias=module.weight),
    )
    if module.training:
        yield (
            "it is in training mode and uses the statistics of the batch",
            copy.deepcopy(module).eval(),
        )
    for name in ("weight", "bias", "running_mean", "running_var"):
        value = getattr(module, name)
        if value is None:
            continue
        neutral = (
            torch.ones_like(value) if name in ("weight", "running_var") else torch.zeros_like(value)
        )
        if name in ("weight", "bias"):
            neutral = nn.Parameter(neutral)
        yield f"{name} is applied; the reference ignores it", _copy_with(module, **{name: neutral})


def _convolutions(module: nn.Conv2d) -> Iterator[tuple[str, nn.Module]]:
    kernel, in_use = module.kernel_size[0], (module.stride[0], module.padding, module.dilation[0])
    for dilation in (1, 2, 3):
        for stride in (1, 2):
            for padding in range(kernel * dilation // 2 + 2):
                settings = (stride, (padding, padding), dilation)
                if settings != in_use:
                    names = ("stride", "padding", "dilation")
                    wrong = [
                        f"{name} is {_scalar(now)}; the reference's is {_scalar(then)}"
                        for name, now, then in zip(names, in_use, settings, strict=True)
                        if now != then
                    ]
                    yield (
                        " and ".join(wrong),
                        _copy_with(
                            module,
                            stride=(stride, stride),
                            padding=(padding, padding),
                            dilation=(dilation, dilation),
                            padding_mode="zeros",
                            _reversed_padding_repeated_twice=[padding] * 4,
                        ),
                    )
    if module.padding_mode != "zeros":
        yield (
            f"pads with {module.padding_mode}; the reference with zeros",
            _copy_with(module, padding_mode="zeros"),
        )
    weight = module.weight
    for what, value in _rearranged(weight, module.groups):
        yield what, _copy_with(module, weight=nn.Parameter(value.contiguous()))
    if module.bias is not None:
        yield "the bias is added; the reference adds none", _copy_with(module, bias=None)
        yield "the bias has the wrong sign", _copy_with(module, bias=nn.Parameter(-module.bias))


def _rearranged(weight: Tensor, groups: int) -> Iterator[tuple[str, Tensor]]:
    yield "the output channels are in reverse order", weight.flip(0)
    if groups == 1:
        yield "the input channels are in reverse order", weight.flip(1)
        if weight.shape[0] == weight.shape[1]:
            yield "output and input channels of the weight are exchanged", weight.transpose(0, 1)
    if weight.shape[2] > 1:
        yield "the kernel is transposed", weight.transpose(2, 3)
        yield "the kernel is rotated by 180 degrees", weight.flip(2, 3)


def _max_pools(module: nn.MaxPool2d | nn.AvgPool2d) -> Iterator[tuple[str, nn.Module]]:
    in_use = f"{type(module).__name__}({module.extra_repr()})"
    for kernel in (3, 2):
        for stride in (2, 1):
            for padding in range(kernel // 2 + 1):
                for ceil_mode in (False, True):
                    yield (
                        f"{in_use}; the reference pools with kernel {kernel}, stride {stride}, "
                        f"padding {padding}, ceil_mode {ceil_mode}",
                        nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode),
                    )


def _global_pools(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(module, nn.AdaptiveMaxPool2d):
        yield "the greatest value; the reference takes the mean", nn.AdaptiveAvgPool2d(1)
    else:
        yield "the mean; the reference takes the greatest value", nn.AdaptiveMaxPool2d(1)


def _upsamples(module: nn.Upsample) -> Iterator[tuple[str, nn.Module]]:
    modes = (
        ("nearest", None),
        ("nearest-exact", None),
        ("bilinear", False),
        ("bilinear", True),
        ("bicubic", False),
    )
    for mode, corners in modes:
        if (mode, corners) != (module.mode, module.align_corners):
            text = f"{mode}, align_corners {corners}" if corners else mode
            yield (
                f"enlarges by {module.mode}; the reference by {text}",
                nn.Upsample(scale_factor=module.scale_factor, mode=mode, align_corners=corners),
            )


def _scalar(value: object) -> object:
    return value[0] if isinstance(value, tuple) else value
