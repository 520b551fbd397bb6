"""Makes a synthetic dataset in COCO format: colored circles, squares and triangles on noise.

    python examples/shapes.py shapes

makes shapes/train2017 with 300 images, shapes/val2017 with 100, and their annotations, for
picodet-train, picodet-eval and other COCO tools. The images are the same on every machine.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

SHAPES = ("circle", "square", "triangle")
NUM_IMAGES = {"train2017": 300, "val2017": 100}
SIDE = 320  # width and height of an image, pixels
SIZES = 24, 110  # of a shape, pixels
TRIES = 50  # attempts to find a free place
CORNERS = {"square": 45 + np.arange(4) * 90, "triangle": -90 + np.arange(3) * 120}  # degrees


def outline(shape: str, center: np.ndarray, size: float, rotation: float) -> np.ndarray:
    """[N, 2] float64: the corners of a shape; 90 points for a circle."""
    angles = np.deg2rad(CORNERS.get(shape, np.arange(90) * 4) + rotation)
    return center + size / 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def draw_image(random: np.random.RandomState) -> tuple[np.ndarray, list[tuple[int, list[float]]]]:
    """An image [SIDE, SIDE, 3] uint8 BGR; class and box (x, y, width, height) of each shape."""
    down, across = np.mgrid[:SIDE, :SIDE][..., None] / SIDE
    canvas = random.uniform(60, 190, 3) + down * random.uniform(-60, 60, 3)
    canvas = canvas + across * random.uniform(-60, 60, 3)
    occupied = np.zeros((SIDE, SIDE), np.uint8)
    objects = []
    for _ in range(random.randint(1, 6)):
        for _ in range(TRIES):
            kind, size = random.randint(len(SHAPES)), random.uniform(*SIZES)
            center = random.uniform(size / 2 + 2, SIDE - size / 2 - 2, 2)
            points = outline(SHAPES[kind], center, size, random.uniform(-20, 20))
            mask = np.zeros_like(occupied)
            cv2.fillPoly(mask, [points.round().astype(np.int32)], 1)
            if not (mask & occupied).any():
                break
        else:
            continue
        occupied |= cv2.dilate(mask, np.ones((7, 7), np.uint8)).astype(np.uint8)
        canvas[mask > 0] = random.uniform(0, 255, 3)
        x, y, w, h = cv2.boundingRect(mask)
        objects.append((kind, [float(x), float(y), float(w), float(h)]))
    canvas += random.normal(0, 8, canvas.shape)
    return canvas.clip(0, 255).astype(np.uint8), objects


def write_split(folder: Path, name: str, count: int, seed: int) -> None:
    """Write one split of the dataset: a folder of images, and its annotation file."""
    random = np.random.RandomState(seed)
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for number in range(1, count + 1):
        pixels, objects = draw_image(random)
        file = f"{number:06d}.jpg"
        cv2.imwrite(str(folder / name / file), pixels)
        images.append({"id": number, "file_name": file, "height": SIDE, "width": SIDE})
        annotations += [
            {
                **{"image_id": number, "category_id": kind + 1, "bbox": box},
                **{"area": box[2] * box[3], "iscrowd": 0},
            }
            for kind, box in objects
        ]
    content = {
        "images": images,
        "annotations": [{"id": i, **row} for i, row in enumerate(annotations, 1)],
        "categories": [{"id": i, "name": shape} for i, shape in enumerate(SHAPES, 1)],
    }
    (folder / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))


def main(folder: Path) -> None:
    """Write both splits, and the class names for --classes."""
    for seed, (name, count) in enumerate(NUM_IMAGES.items()):
        write_split(folder, name, count, seed)
    (folder / "classes.txt").write_text("\n".join(SHAPES) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
