"""What a step of the training is fed with."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Targets(NamedTuple):
    """G counts the boxes of the image that has most of them, and is at least 1."""

    boxes: Tensor  # [B, G, 4] xyxy in pixels of the network's input; 0 where there is none
    classes: Tensor  # [B, G] int64, of the model's classes; 0 where there is none
    valid: Tensor  # [B, G] bool: whether there is one; the first of each image

    def to(self, device: torch.device) -> "Targets":
        """The same on a device."""
        return Targets(*(tensor.to(device, non_blocking=True) for tensor in self))


@dataclass(frozen=True)
class Batch:
    """Images of one size, as the network takes them, and what is to be found in them."""

    images: Tensor  # [B, 3, H, W] float32, normalized
    targets: Targets
    image_ids: tuple[int, ...]  # of the annotation file

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        images = self.images.to(device, non_blocking=True)
        return Batch(images, self.targets.to(device), self.image_ids)
