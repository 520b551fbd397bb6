"""Momentum SGD as Paddle defines it, and which weights decay in ppdet.

v = momentum * v + gradient + decay * p, then p = p - lr * v: what torch.optim.SGD computes too.
A parameter without a gradient stays as it is, in both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from picodet.errors import PicoDetError
from picodet.models.csp_pan import CSPPAN
from picodet.models.esnet import ESNet
from picodet.models.head import PicoHead
from picodet.models.layers import BatchNorm2d
from picodet.models.lc_pan import LCPAN
from picodet.models.lcnet import LCBlock, LCNet
from picodet.models.mobilenet_v3 import MobileNetV3
from picodet.models.pico_head_v2 import Alignment, PicoHeadV2
from picodet.models.picodet import PicoDet
from picodet.models.resnet_vd import ResNet
from picodet.models.shufflenet_v2 import ShuffleNetV2
from picodet.training.layer_lookup import nearest
from picodet.training.recipes.schema import OptimizerConfig


class DecayRule(NamedTuple):
    """Whether parameters have the optimizer's L2 decay; else theirs is 0."""

    norms: bool  # weight and bias of batch norms
    convs: bool  # weight and bias of convolutions


# the optimizer's decay holds where ppdet sets none for a parameter
DECAY_RULES: Mapping[type[nn.Module], DecayRule] = {
    # ConvBNLayer gives its norm L2Decay(0): ppdet/modeling/backbones/shufflenet_v2.py:55-58
    ESNet: DecayRule(norms=False, convs=True),
    ShuffleNetV2: DecayRule(norms=False, convs=True),
    # so does lcnet.py:85-88, and the neck of 2022 is made of these blocks
    LCNet: DecayRule(norms=False, convs=True),
    LCBlock: DecayRule(norms=False, convs=True),
    # norm_decay: 0. in picodet_r18_640_coco.yml; backbones/resnet.py:66-78
    ResNet: DecayRule(norms=False, convs=True),
    # conv_decay and norm_decay are 0.0, not None: nothing decays at all (mobilenet_v3.py:64-76)
    MobileNetV3: DecayRule(norms=False, convs=False),
    # ConvBNLayer and DPModule set none: necks/csp_pan.py:45-47, 81-99
    CSPPAN: DecayRule(norms=True, convs=True),
    LCPAN: DecayRule(norms=True, convs=True),
    # ConvNormLayer has norm_decay 0: ppdet/modeling/layers.py:194
    PicoHead: DecayRule(norms=False, convs=True),
    PicoHeadV2: DecayRule(norms=False, convs=True),
    # cls_align is a DPModule: heads/pico_head.py:535
    Alignment: DecayRule(norms=True, convs=True),
}


def decayed_parameters(model: PicoDet) -> frozenset[str]:
    """The names of the parameters that have weight decay."""
    return frozenset(
        f"{name}.{role}"
        for name, layer, decays in nearest(model, DECAY_RULES)
        for role, _ in layer.named_parameters(recurse=False)
        if (decays.norms if isinstance(layer, BatchNorm2d) else decays.convs)
    )


@dataclass(frozen=True)
class MomentumSGD:
    """torch's SGD, whose parameter groups differ in weight decay and learning-rate factor."""

    sgd: torch.optim.SGD

    def step(self, lr: float) -> None:
        """Update the parameters by their gradients."""
        self.set_lr(lr)
        self.sgd.step()

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next step, for a GradScaler, which steps `sgd` itself."""
        for group in self.sgd.param_groups:
            group["lr"] = lr * group["factor"]

    def init_momentum_buffers(self) -> None:
        """Create missing momentum buffers as zeros; the first step is the same with them.

        If a GradScaler skips the first step, torch (2.13) goes on with uninitialized buffers.
        """
        for group in self.sgd.param_groups:
            for parameter in group["params"]:
                if "momentum_buffer" not in self.sgd.state[parameter]:
                    self.sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    def zero_grad(self) -> None:
        """Set all gradients to None."""
        self.sgd.zero_grad(set_to_none=True)

    def momentum_buffers(self) -> dict[str, Tensor]:
        """Momentum buffers by parameter name; without parameters that were never updated."""
        return {
            name: self.sgd.state[parameter]["momentum_buffer"]
            for group in self.sgd.param_groups
            for name, parameter in zip(group["param_names"], group["params"], strict=True)
            if parameter in self.sgd.state
        }

    def load_momentum_buffers(self, momentum_buffers: Mapping[str, Tensor]) -> None:
        """Restore what `momentum_buffers` gave (copied to the parameters' devices)."""
        for group in self.sgd.param_groups:
            for name, parameter in zip(group["param_names"], group["params"], strict=True):
                if name in momentum_buffers:
                    buffer = momentum_buffers[name].to(parameter.device, copy=True)
                    self.sgd.state[parameter]["momentum_buffer"] = buffer


def optimizer(
    model: PicoDet, config: OptimizerConfig, factors: Mapping[str, float] | None = None
) -> MomentumSGD:
    """The optimizer of all parameters with requires_grad.

    factors: learning-rate factors by prefix of the parameter name, {"backbone.": 0.1}; the longest
    prefix counts. ppdet's own are 1 in every PicoDet (lr_mult_list of ResNet and MobileNetV3).
    Raises PicoDetError for a prefix that no parameter has.
    """
    factors = factors or {}
    names = [name for name, _ in model.named_parameters()]
    for prefix in factors:
        if not any(name.startswith(prefix) for name in names):
            raise PicoDetError(
                f"learning-rate factor of {prefix!r}: no parameter has this prefix; theirs are "
                "'backbone.', 'neck.' and 'head.'"
            )
    # Paddle keeps these in float32; visible in float64 only, 2e-9 of a step
    momentum = float(np.float32(config.momentum))
    decay = float(np.float32(config.weight_decay))
    groups: list[dict[str, Any]] = [
        {
            # torch's key for named parameters
            "param_names": list(parameters),
            "params": list(parameters.values()),
            "weight_decay": decay * decays,
            "factor": factor,
        }
        for (decays, factor), parameters in _groups(model, factors)
    ]
    # fused: one pass over memory for each step
    return MomentumSGD(torch.optim.SGD(groups, lr=0.0, momentum=momentum, fused=True))


def _groups(
    model: PicoDet, factors: Mapping[str, float]
) -> Iterator[tuple[tuple[bool, float], dict[str, nn.Parameter]]]:
    """(weight decay?, learning-rate factor) and the parameters of each group, by name."""
    decayed_names = decayed_parameters(model)
    found: dict[tuple[bool, float], dict[str, nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            prefixes = [prefix for prefix in factors if name.startswith(prefix)]
            factor = factors[max(prefixes, key=len)] if prefixes else 1.0
            found.setdefault((name in decayed_names, factor), {})[name] = parameter
    yield from found.items()
