"""Raw head outputs -> boxes and scores -> detections in pixels of the picture."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from picodet.cells import cell_centres
from picodet.models.head import HeadOutput
from picodet.nms import multiclass_nms


@dataclass(frozen=True)
class Detections:
    """What was found in one picture, in ppdet's order: class by class, best score first."""

    boxes: np.ndarray  # [N, 4] xyxy, pixels of the picture; may reach beyond its edges
    scores: np.ndarray  # [N]
    classes: np.ndarray  # [N] int64, indices into the model's classes

    def __len__(self) -> int:
        return len(self.boxes)


def decode(output: HeadOutput, integral: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Boxes [B, A, 4] xyxy in pixels of the network's input, and scores [B, C, A].

    A counts the cells of all levels, level after level, row after row. `integral` is the head's.
    Source: ppdet/modeling/heads/pico_head.py:344-392, bbox_utils.py:562-584.
    """
    scores = torch.cat([logits.flatten(2) for logits in output.logits], dim=2).sigmoid()
    distances = integral(torch.cat([sides.flatten(2) for sides in output.sides], dim=2))
    levels = tuple((logits.shape[2], logits.shape[3]) for logits in output.logits)
    centres, strides = (torch.tensor(array).to(distances) for array in cell_centres(levels))
    return distances_to_boxes(centres, distances.transpose(1, 2)) * strides, scores


def distances_to_boxes(points: Tensor, distances: Tensor) -> Tensor:
    """points [A, 2] (x, y), distances [B, A, 4] (left, top, right, bottom) -> [B, A, 4] xyxy."""
    left_top, right_bottom = distances.chunk(2, dim=2)
    return torch.cat([points - left_top, points + right_bottom], dim=2)


def select(
    boxes: Tensor, scores: Tensor, scale_factor: np.ndarray, score_threshold: float
) -> Detections:
    """Of one picture: boxes [A, 4] in pixels of the input, scores [C, A] -> what NMS keeps.

    scale_factor is (y, x): size of the network's input over size of the picture. Boxes are scaled
    before they are compared and are not clipped (pico_head.py:418-440).
    """
    y, x = scale_factor
    in_picture = boxes.cpu().numpy() / np.array([x, y, x, y], dtype=scale_factor.dtype)
    on_cpu = scores.cpu().numpy()
    classes, indices = multiclass_nms(in_picture, on_cpu, score_threshold)
    return Detections(in_picture[indices], on_cpu[classes, indices], classes)
