"""Draws a document page for layout detection, free of others' rights and the same everywhere.

    python -m scripts.draw_page page.png

Text, headings, a figure (scikit-image's coffee, CC0) with its caption, and a table.
"""

import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import skimage

from picodet.data.preprocess import read_image

WIDTH, HEIGHT = 1216, 1600
FONT = cv2.FONT_HERSHEY_COMPLEX
TEXT_COLOR = (20, 20, 20)
LEFT, RIGHT = 110, 640  # edges of the two columns
WORDS = (
    "A detector that was trained in one framework and is served by another has to compute the "
    "same. Names are mapped, shapes are compared, and every layer is held against a recording of "
    "the original. What differs is named with its place, the value that was found and the value "
    "that was expected. "
) * 3
ROWS = (
    ("model", "AP", "size", "input"),
    ("XS", "23.5", "0.70", "320"),
    ("S", "30.7", "0.99", "416"),
    ("M", "34.8", "2.15", "416"),
    ("L", "36.6", "3.31", "416"),
)


def draw() -> np.ndarray:
    """The page [1600, 1216, 3], BGR."""
    page = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    _line(page, "Detectors that arrive unchanged", 200, 150, 1.4, 3)
    below = _paragraph(page, LEFT, 240, characters=82, lines=7)
    _line(page, "1. Method", LEFT, below + 50, 0.95, 2)
    below = _paragraph(page, LEFT, below + 100, characters=38, lines=16)
    _line(page, "2. Results", LEFT, below + 60, 0.95, 2)
    _paragraph(page, LEFT, below + 110, characters=38, lines=12)
    _figure(page, RIGHT, 520)
    _table(page, RIGHT, 930)
    _paragraph(page, RIGHT, 1170, characters=38, lines=12)
    return page


def _line(page: np.ndarray, text: str, x: int, y: int, size: float, thickness: int = 1) -> None:
    cv2.putText(page, text, (x, y), FONT, size, TEXT_COLOR, thickness, cv2.LINE_AA)


def _paragraph(page: np.ndarray, x: int, y: int, characters: int, lines: int) -> int:
    """Draw a paragraph and return the y of the line after it."""
    for line in textwrap.wrap(WORDS, characters)[:lines]:
        _line(page, line, x, y, 0.62)
        y += 27
    return y


def _figure(page: np.ndarray, x: int, y: int) -> None:
    image = read_image(Path(skimage.__file__).parent / "data" / "coffee.png")
    page[y : y + 307, x : x + 460] = cv2.resize(image, (460, 307))
    _line(page, "Figure 1: a cup of coffee on a table", x + 40, y + 345, 0.55)


def _table(page: np.ndarray, x: int, y: int) -> None:
    width, height = 115, 38  # of a cell
    _line(page, "Table 1: models and what they cost", x + 50, y - 18, 0.55)
    for i, row in enumerate((*ROWS, ())):
        cv2.line(page, (x, y + i * height), (x + len(ROWS[0]) * width, y + i * height), TEXT_COLOR)
        for j, cell in enumerate(row):
            _line(page, cell, x + j * width + 16, y + i * height + 26, 0.55)
    for j in range(len(ROWS[0]) + 1):
        cv2.line(page, (x + j * width, y), (x + j * width, y + len(ROWS) * height), TEXT_COLOR)


if __name__ == "__main__":
    cv2.imwrite(sys.argv[1], draw())
