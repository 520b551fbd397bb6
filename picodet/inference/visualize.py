"""Boxes with class names on a picture."""

from collections.abc import Sequence
from colorsys import hsv_to_rgb

import cv2
import numpy as np

from picodet.ops.postprocess import Detections

GOLDEN_RATIO = 0.618034  # steps of it around the colour circle keep neighbouring classes apart
Colour = tuple[int, int, int]


def draw(image: np.ndarray, found: Detections, names: Sequence[str]) -> np.ndarray:
    """A copy of image [H, W, 3] uint8 BGR with every box, its name and its score; best on top."""
    canvas = image.copy()
    thickness = max(1, round(sum(image.shape[:2]) / 600))
    for i in np.argsort(found.scores):
        colour = _colour(int(found.classes[i]))
        left, top, right, bottom = (int(side) for side in found.boxes[i].round())
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, thickness)
        label = f"{names[i]} {found.scores[i]:.2f}"
        _write(canvas, label, (left, top), colour, thickness)
    return canvas


def _write(
    canvas: np.ndarray, label: str, corner: tuple[int, int], colour: Colour, thickness: int
) -> None:
    """The label on its colour above the box, or inside it where the picture ends."""
    font, scale, weight = cv2.FONT_HERSHEY_SIMPLEX, 0.35 + 0.12 * thickness, max(1, thickness // 2)
    (width, height), baseline = cv2.getTextSize(label, font, scale, weight)
    left = max(0, min(corner[0], canvas.shape[1] - width))
    bottom = max(corner[1], height + baseline)
    above = (left, bottom - height - baseline)
    cv2.rectangle(canvas, above, (left + width, bottom), colour, cv2.FILLED)
    ink = (0, 0, 0) if np.dot(colour, (0.114, 0.587, 0.299)) > 140 else (255, 255, 255)
    cv2.putText(canvas, label, (left, bottom - baseline), font, scale, ink, weight, cv2.LINE_AA)


def _colour(label: int) -> Colour:
    """BGR; the same for a class in every picture."""
    red, green, blue = hsv_to_rgb(label * GOLDEN_RATIO % 1, 0.85, 0.95)
    return round(255 * blue), round(255 * green), round(255 * red)
