"""One dataset in three forms, COCO, Pascal VOC and YOLO, with the same images and boxes.

Sides of images are powers of two, so that YOLO's shares of them are exact.
"""

import json
from pathlib import Path

import cv2
import numpy as np

FORMS = ("coco", "voc", "yolo")
NAMES = ("blue", "green", "red")  # sorted, as they are where no list names them
SPLITS = {"train": 6, "val": 4}  # images
EMPTY = 1  # position of an image without boxes
SIZES = ((64, 128), (128, 128), (256, 128))  # height, width
CHANNELS = {"red": 2, "green": 1, "blue": 0}  # of an image in OpenCV's order


def drawn(split, position):
    """The pixels of an image, and its boxes: (name, x, y, width, height) in whole pixels."""
    random = np.random.RandomState(10 * (split == "val") + position)
    height, width = SIZES[position % len(SIZES)]
    canvas, boxes = random.normal(90, 15, (height, width, 3)), []
    for _ in range(0 if position == EMPTY else random.randint(1, 4)):
        name = NAMES[random.randint(3)]
        w, h = (int(side * random.uniform(0.4, 0.6)) for side in (width, height))
        x, y = random.randint(0, width - 1 - w), random.randint(0, height - 1 - h)
        canvas[y : y + h, x : x + w] -= 40
        canvas[y : y + h, x : x + w, CHANNELS[name]] += 100
        boxes.append((name, int(x), int(y), w, h))
    return canvas.clip(0, 255).astype(np.uint8), boxes


def write_form(folder: Path, form: str) -> Path:
    """The folder of the dataset in one form."""
    folder.mkdir(parents=True)
    for split, count in SPLITS.items():
        images = [(f"{split}_{i}", *drawn(split, i)) for i in range(count)]
        {"coco": _coco, "voc": _voc, "yolo": _yolo}[form](folder, split, images)
    return folder


def _image(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def write(path, text):
    """Write a file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _coco(folder, split, images):
    made, rows = [], []
    for i, (stem, pixels, boxes) in enumerate(images, 1):
        _image(folder / f"{split}2017" / f"{stem}.png", pixels)
        height, width = pixels.shape[:2]
        made.append({"id": i, "file_name": f"{stem}.png", "height": height, "width": width})
        for name, *box in boxes:
            row = {"id": len(rows) + 1, "image_id": i, "category_id": NAMES.index(name) + 1}
            rows.append(row | {"bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": i, "name": name} for i, name in enumerate(NAMES, 1)]
    content = {"images": made, "categories": categories, "annotations": rows}
    write(folder / "annotations" / f"instances_{split}2017.json", json.dumps(content))


def voc_object(name, x1, y1, x2, y2, difficult=0):
    corners = zip(("xmin", "ymin", "xmax", "ymax"), (x1, y1, x2, y2), strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in corners)
    return (
        f"<object><name>{name}</name><difficult>{difficult}</difficult>"
        f"<bndbox>{box}</bndbox></object>"
    )


def voc_xml(width, height, *objects):
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>x.png</filename>{size}{''.join(objects)}</annotation>"


def _voc(folder, split, images):
    for stem, pixels, boxes in images:
        _image(folder / "JPEGImages" / f"{stem}.png", pixels)
        objects = [voc_object(name, x, y, x + w, y + h) for name, x, y, w, h in boxes]
        text = voc_xml(pixels.shape[1], pixels.shape[0], *objects)
        write(folder / "Annotations" / f"{stem}.xml", text)
    stems = "".join(f"{stem}\n" for stem, *_ in images)
    write(folder / "ImageSets" / "Main" / f"{split}.txt", stems)


def _yolo(folder, split, images):
    for stem, pixels, boxes in images:
        _image(folder / "images" / split / f"{stem}.png", pixels)
        height, width = pixels.shape[:2]
        lines = []
        for name, x, y, w, h in boxes:
            shares = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            lines.append(" ".join(map(str, (NAMES.index(name), *shares))))
        if boxes:
            write(folder / "labels" / split / f"{stem}.txt", "\n".join(lines) + "\n")
    write(folder / "data.yaml", "train: images/train\nval: images/val\nnames: [blue, green, red]\n")
