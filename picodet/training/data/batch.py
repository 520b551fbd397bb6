"""A training batch: images and ground truth."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Targets(NamedTuple):
    """Ground truth, padded: G is the largest number of boxes in an image, and at least 1."""

    boxes: Tensor  # [B, G, 4] xyxy, pixels of the network's input; 0 for padding
    classes: Tensor  # [B, G] int64, index of the class; 0 for padding
    valid: Tensor  # [B, G] bool: false for padding, which comes last

    def to(self, device: torch.device) -> "Targets":
        """A copy on a device."""
        return Targets(*(tensor.to(device, non_blocking=True) for tensor in self))


@dataclass(frozen=True)
class Batch:
    """Images of one size, ready for the network, and their ground truth."""

    images: Tensor  # [B, 3, H, W] float32, normalized
    targets: Targets
    image_ids: tuple[int, ...]  # of the annotation file

    def to(self, device: torch.device) -> "Batch":
        """A copy on a device."""
        images = self.images.to(device, non_blocking=True)
        return Batch(images, self.targets.to(device), self.image_ids)
