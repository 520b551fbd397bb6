"""What a step of the training is fed with."""

from dataclasses import dataclass

import torch
from torch import Tensor

from picodet.training.data.targets import Targets


@dataclass(frozen=True)
class Batch:
    """Pictures of one size, as the network takes them, and what is to be found in them."""

    images: Tensor  # [B, 3, H, W] float32, normalised
    targets: Targets
    image_ids: tuple[int, ...]  # of the annotation file

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        images = self.images.to(device, non_blocking=True)
        return Batch(images, self.targets.to(device), self.image_ids)
