"""Parts of a model that are not trained. None of ppdet's 34 PicoDet configs freezes anything."""

from torch import nn

from picodet.models.layers import BatchNorm2d
from picodet.models.picodet import PicoDet
from picodet.training.recipes.schema import Frozen


def freeze(model: PicoDet, what: Frozen) -> None:
    """Freeze parts of the model, in place. Call it before the optimizer is made."""
    if what != "nothing":
        freeze_norms(model.backbone)
    if what == "backbone":
        model.backbone.requires_grad_(False)


def freeze_norms(part: nn.Module) -> None:
    """Batch norms keep their statistics and use them in training too, and are not trained.

    ppdet's freeze_norm (backbones/resnet.py:80-94, mobilenet_v3.py:68-87).
    """
    for layer in part.modules():
        if isinstance(layer, BatchNorm2d):
            layer.frozen = True
            layer.requires_grad_(False)
