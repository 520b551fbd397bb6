"""Layers shared by the backbones, necks and heads."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from picodet.config import Activation

# Paddle's slope is 0.1666667 in float32, not 1/6 (paddle/nn/functional/activation.py:331).
HARD_SIGMOID_SLOPE = 0.16666670143604279
LEAKY_RELU_SLOPE = 0.01  # Paddle's and torch's default (paddle/nn/functional/activation.py)
# Paddle keeps epsilon in float32 too: 1e-5 rounded. Visible in float64 only, 1e-10 of a layer.
EPSILON = 9.999999747378752e-06
# The share 0.9 that running statistics keep is in float32 too; torch's momentum is 1 minus that.
PADDLE_MOMENTUM = 0.8999999761581421

Act = Callable[[Tensor], Tensor]  # elementwise

ACTIVATIONS: dict[Activation, Act] = {
    "hardswish": F.hardswish,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,  # with LEAKY_RELU_SLOPE
}


def hard_sigmoid(x: Tensor, slope: float = HARD_SIGMOID_SLOPE) -> Tensor:
    """min(max(slope * x + 0.5, 0), 1) with Paddle's slope; torch's own differs by up to 1.2e-7."""
    return torch.clamp(x * slope + 0.5, 0, 1)


def channel_shuffle(x: Tensor) -> Tensor:
    """[B, C, H, W] -> same shape, the two halves of the channels interleaved."""
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def run_sequentially(layers: nn.ModuleDict, x: Tensor) -> Tensor:
    """Apply all layers in order. An nn.Sequential would be a layer of its own."""
    for layer in layers.children():
        x = layer(x)
    return x


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm as Paddle's: the running variance follows the biased variance of the batch.

    torch's follows the unbiased one. Observed with Paddle on the CPU; cuDNN was not checked.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    frozen = False  # whether running statistics are used unchanged in training too

    def __init__(self, channels: int) -> None:
        super().__init__(channels, EPSILON, 1 - PADDLE_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.frozen or not self.training:
            return F.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)
        count = x.numel() // self.num_features
        if count == 1:
            return x  # as in Paddle, where torch raises an error
        # with a momentum of 1 they become the statistics of the batch
        mean, variance = mean.new_zeros(2, self.num_features).unbind()
        y = F.batch_norm(x, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
        self.update_running_stats(mean, variance * ((count - 1) / count))
        return y

    @torch.no_grad()
    def update_running_stats(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics by those of a batch, [C]; the variance is biased."""
        self.running_mean.mul_(PADDLE_MOMENTUM).add_(mean, alpha=1 - PADDLE_MOMENTUM)
        self.running_var.mul_(PADDLE_MOMENTUM).add_(variance, alpha=1 - PADDLE_MOMENTUM)
        self.num_batches_tracked.add_(1)


class ConvBN(nn.Module):
    """[B, C_in, H, W] -> [B, C_out, H/stride, W/stride]: convolution, batch norm, `act` if any."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: Act | None = F.hardswish,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = BatchNorm2d(channels_out)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return self.act(x) if self.act else x


class DepthwiseSeparable(nn.Module):
    """[B, C, H, W] -> [B, C, H/stride, W/stride]: depthwise, then pointwise convolution.

    Each has batch norm and activation. Mirrors DPModule of ppdet/modeling/necks/csp_pan.py:59-111.
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1, act: Act = F.hardswish) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(
            channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False
        )
        self.bn1 = BatchNorm2d(channels)
        self.pwconv = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn1(self.dwconv(x)))
        return self.act(self.bn2(self.pwconv(x)))


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation: scales each channel by the means of all channels (arXiv:1709.01507).

    `slope` is that of the hard-sigmoid.
    """

    def __init__(self, channels: int, slope: float = HARD_SIGMOID_SLOPE) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        means = self.expand(F.relu(self.reduce(self.avg_pool(x))))
        return x * hard_sigmoid(means, self.slope)
