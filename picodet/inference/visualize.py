"""Draws boxes with class names on an image."""

from collections.abc import Sequence
from colorsys import hsv_to_rgb

import cv2
import numpy as np

from picodet.ops.postprocess import Detections

GOLDEN_RATIO = 0.618034  # hue step that keeps the colors of neighboring classes apart
Color = tuple[int, int, int]


def draw(image: np.ndarray, detections: Detections, names: Sequence[str]) -> np.ndarray:
    """A copy of image [H, W, 3] uint8 BGR with all boxes, names [N] and scores; best on top."""
    canvas = image.copy()
    thickness = max(1, round(sum(image.shape[:2]) / 600))
    for i in np.argsort(detections.scores):
        color = _class_color(int(detections.classes[i]))
        left, top, right, bottom = (int(side) for side in detections.boxes[i].round())
        cv2.rectangle(canvas, (left, top), (right, bottom), color, thickness)
        label = f"{names[i]} {detections.scores[i]:.2f}"
        _draw_label(canvas, label, (left, top), color, thickness)
    return canvas


def _draw_label(
    canvas: np.ndarray, label: str, corner: tuple[int, int], color: Color, thickness: int
) -> None:
    """Draw the label on its color above the box, or inside it at the image's edge."""
    font, scale, weight = cv2.FONT_HERSHEY_SIMPLEX, 0.35 + 0.12 * thickness, max(1, thickness // 2)
    (width, height), baseline = cv2.getTextSize(label, font, scale, weight)
    left = max(0, min(corner[0], canvas.shape[1] - width))
    bottom = max(corner[1], height + baseline)
    above = (left, bottom - height - baseline)
    cv2.rectangle(canvas, above, (left + width, bottom), color, cv2.FILLED)
    text_color = (0, 0, 0) if np.dot(color, (0.114, 0.587, 0.299)) > 140 else (255, 255, 255)
    cv2.putText(
        canvas, label, (left, bottom - baseline), font, scale, text_color, weight, cv2.LINE_AA
    )


def _class_color(label: int) -> Color:
    """The BGR color of a class; the same in every image."""
    red, green, blue = hsv_to_rgb(label * GOLDEN_RATIO % 1, 0.85, 0.95)
    return round(255 * blue), round(255 * green), round(255 * red)
