"""YOLO's labels, compared with numbers worked by hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_forms import write

from picodet.data.forms.dataset import read_split
from picodet.errors import PicoDetError

NAMES = "names: [cat, dog]\n"


def image(path, height=100, width=200):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


@pytest.fixture
def made(tmp_path):
    """Writes a dataset of images of 200 x 100, one for each text of labels; None: no file."""

    def make(labels, settings=f"{NAMES}train: images\n"):
        for stem, text in labels.items():
            image(tmp_path / "images" / f"{stem}.png")
            if text is not None:
                write(tmp_path / "labels" / f"{stem}.txt", text)
        write(tmp_path / "data.yaml", settings)
        return tmp_path

    return make


def read(folder, **options):
    return read_split(folder, "train", **options).annotations


def test_boxes_and_polygons(made):
    found = read(made({"a": "1 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0.3 0.1 0.2 0.6\n", "b": None}))
    boxes = found.ground_truth.boxes
    assert np.allclose(boxes, [[75, 25, 50, 50], [20, 10, 40, 50]], rtol=0, atol=1e-12)
    assert found.ground_truth.category_ids.tolist() == [2, 1]
    assert found.ground_truth.image_ids.tolist() == [1, 1]
    assert [each.name for each in found.categories] == ["cat", "dog"]
    assert any("without a file of labels, and so without boxes: 1" in n for n in found.notes)
    assert any("polygons, read as the boxes that enclose them: 1" in n for n in found.notes)


def test_boxes_are_clipped_to_the_image(made):
    found = read(made({"a": "0 0.1 0.5 0.4 0.5\n0 0.9999999 0.5 0.0000004 1\n"}))
    assert np.allclose(found.ground_truth.boxes[0], [0, 25, 60, 50], rtol=0, atol=1e-12)
    assert any("reached beyond their image, clipped to it: 1" in n for n in found.notes)


def test_all_that_is_wrong_is_listed(made):
    lines = (
        *("0 0.5 0.5 0.2", "0 0.5 0.5 0.2 0.2 0.9", "2 0.5 0.5 0.2 0.2", "0.5 0.5 0.5 0.2 0.2"),
        *("0 0.5 1.5 0.2 0.2", "0 0.5 nan 0.2 0.2", "0 0.5 0.5 0 0.2", "0 0.5 0.5 0.2 0.2"),
    )
    folder = made({"a": "\n".join(lines)})
    write(folder / "labels" / "lonely.txt", "")
    write(folder / "labels" / "classes.txt", "cat\ndog\n")  # labelImg's, no labels
    write(folder / "images" / "b.png", "no image")
    with pytest.raises(PicoDetError) as error:
        read(folder)
    for text in (
        "9 problems",
        "labels/lonely.txt: labels without an image",
        "labels/a.txt:1: 4 values; expected class, x, y, width and height",
        "labels/a.txt:2: 6 values",
        "labels/a.txt:3: class 2; expected 0 to 1",
        "labels/a.txt:4: class 0.5",
        "labels/a.txt:5: 1.5 is outside 0..1",
        "labels/a.txt:6: 'nan' is no number",
        "labels/a.txt:7: a box without area",
        "images/b.png: not an image",
    ):
        assert text in str(error.value)
    found = read(folder, bad_boxes="drop")
    assert len(found.images) == len(found.ground_truth) == 1


def test_no_labels_at_all(made):
    with pytest.raises(PicoDetError, match=r"none of the 1 images of train .*labels/a\.txt"):
        read(made({"a": None}))


def test_images_that_their_exif_turns(made):
    folder = made({"a": None, "b": "0 0.5 0.5 0.5 0.5"})
    _, jpeg = cv2.imencode(".jpg", np.zeros((100, 200, 3), np.uint8))
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"  # orientation 6
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + bytes(4)
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    data = jpeg.tobytes()
    turned = folder / "images" / "c.jpg"
    turned.write_bytes(data[:2] + segment + data[2:])
    write(folder / "labels" / "c.txt", "0 0.5 0.5 0.5 0.5")
    assert cv2.imread(str(turned)).shape[:2] == (200, 100)
    found = read(folder)
    assert [each.size for each in found.images] == [(100, 200), (100, 200), (200, 100)]
    assert found.ground_truth.boxes.tolist() == [[50, 25, 100, 50], [25, 50, 50, 100]]


def test_labels_beside_the_images_and_lists(tmp_path, monkeypatch):
    image(tmp_path / "images" / "set" / "obj" / "a.png")  # `images` lies above the dataset
    folder = tmp_path / "images" / "set"
    write(folder / "obj" / "a.txt", "0 0.5 0.5 0.5 0.5")
    write(folder / "train.txt", f"./obj/a.png\nobj/a.png\n{folder}/obj/a.png\n")
    write(folder / "data.yaml", f"{NAMES}train: train.txt\n")
    found = read(folder)
    assert [each.file for each in found.images] == ["obj/a.png"]
    monkeypatch.chdir(folder.parent)
    assert read(Path("set")).images == found.images
    write(folder / "data.yaml", f"{NAMES}path: {folder}\ntrain: train.txt\n")
    relative = read(Path("set"))
    assert (relative.images, relative.notes[1:]) == (found.images, ())
    write(folder / "train.txt", "obj/a.png\n../x.png\n/etc/passwd\n")
    with pytest.raises(PicoDetError, match=r"2 problems.*outside the dataset's folder"):
        read(folder)
