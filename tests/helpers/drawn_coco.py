"""A small dataset in COCO's layout: rectangles in red, green and blue on noise.

One image has rectangles without annotations, one has a crowd. By their ids, the categories are in
another order than the classes of the network of color_network.py.
"""

import json
from pathlib import Path

import cv2
import numpy as np

CATEGORIES = {7: "red", 9: "green", 4: "blue"}  # by id
CHANNELS = {"red": 2, "green": 1, "blue": 0}  # of an image in OpenCV's order
EMPTY_IMAGE, CROWD_IMAGE = 3, 5  # positions of images
SIZES = ((96, 128), (160, 120), (64, 64), (300, 400))  # height, width


def write_dataset(folder: Path, count: int = 10) -> Path:
    """The folder, with val2017 and annotations/instances_val2017.json."""
    (folder / "val2017").mkdir(parents=True)
    images, rows = [], []
    for position in range(count):
        height, width = SIZES[position % len(SIZES)]
        random = np.random.RandomState(position)
        canvas = random.normal(90, 15, (height, width, 3))
        identity = 37 * (count - 1 - position)  # one id is 0; the file is not in order of ids
        images.append(
            {
                **{"id": identity, "file_name": f"{position}.png"},
                **{"height": height, "width": width},
            }
        )
        for _ in range(random.randint(2, 5)):
            category = list(CATEGORIES)[random.randint(3)]
            w, h = random.uniform(0.4, 0.6, 2) * (width, height)
            x, y = (random.randint(2, 6, 2) + 0.5) / 8 * (width, height) - (w / 2, h / 2)
            patch = canvas[int(y) : int(y + h), int(x) : int(x + w)]
            patch -= 40
            patch[..., CHANNELS[CATEGORIES[category]]] += random.uniform(60, 110)
            if position == EMPTY_IMAGE:
                continue
            rows.append(
                {
                    **{"id": len(rows) + 1, "image_id": identity, "category_id": category},
                    **{"bbox": [x, y, w, h], "area": w * h},
                    "iscrowd": int(position == CROWD_IMAGE),
                }
            )
        pixels = canvas.clip(0, 255).astype(np.uint8)
        assert cv2.imwrite(str(folder / "val2017" / f"{position}.png"), pixels)
    categories = [{"id": i, "name": name} for i, name in CATEGORIES.items()]
    content = {"images": images, "categories": categories, "annotations": rows}
    write_annotations(folder, content)
    return folder


def annotation_file(folder: Path) -> Path:
    """The annotation file of a dataset."""
    return folder / "annotations" / "instances_val2017.json"


def read(folder: Path) -> dict:
    """The content of the annotation file."""
    return json.loads(annotation_file(folder).read_text())


def write_annotations(folder: Path, content: dict) -> None:
    """Replace the annotation file."""
    annotation_file(folder).parent.mkdir(exist_ok=True)
    annotation_file(folder).write_text(json.dumps(content))
