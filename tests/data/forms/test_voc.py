"""Pascal VOC, compared with numbers worked by hand by the rules of ppdet/data/source/voc.py."""

import json
import subprocess

import cv2
import numpy as np
import pytest
from drawn_forms import NAMES, voc_object, voc_xml, write

from picodet.data.forms.dataset import read_any_split, read_split
from picodet.errors import PicoDetError
from picodet.training.data.dataset import read_dataset

FULL = (1, 1, 100, 50)  # a 1-based box of a whole image of 100 x 50
INNER = (11, 21, 60, 40)


def image(path, height=50, width=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


@pytest.fixture
def made(tmp_path):
    """Writes a folder with Annotations, JPEGImages and lists."""

    def make(xml, train=("a",), val=(), images=None):
        for stem, text in xml.items():
            write(tmp_path / "Annotations" / f"{stem}.xml", text)
        for stem in xml if images is None else images:
            image(tmp_path / "JPEGImages" / f"{stem}.png")
        for name, stems in (("train", train), ("val", val)):
            if stems:
                write(tmp_path / "ImageSets" / "Main" / f"{name}.txt", "\n".join(stems))
        return tmp_path

    return make


def test_one_based_corners_stay_and_the_last_pixel_is_clipped(made):
    objects = voc_object("cat", *FULL), voc_object("dog", *INNER)
    found = read_split(made({"a": voc_xml(100, 50, *objects)}), "train").annotations
    # VOCDataSet: x2 = min(width - 1, xmax), and nothing is subtracted
    assert found.ground_truth.boxes.tolist() == [[1, 1, 98, 48], [11, 21, 49, 19]]
    assert found.ground_truth.areas.tolist() == [98 * 48, 49 * 19]
    assert len(found.notes) == 1  # a 1-based box of the whole image is nothing to tell


def test_boxes_beyond_the_image_are_clipped_and_counted(made):
    objects = voc_object("cat", -5, 2, 120, 49), voc_object("cat", *INNER)
    found = read_split(made({"a": voc_xml(100, 50, *objects)}), "train").annotations
    assert found.ground_truth.boxes[0].tolist() == [0, 2, 99, 47]
    assert "boxes that reached beyond their image, clipped to it as ppdet does: 1" in found.notes[1]


def test_difficult_objects_are_trained_on_and_not_evaluated(made):
    text = voc_xml(100, 50, voc_object("cat", *INNER, difficult=1), voc_object("cat", *FULL))
    folder = made({"a": text, "b": text}, ["a"], ["b"])
    train, val = (read_split(folder, split).annotations for split in ("train", "val"))
    assert train.ground_truth.crowds.tolist() == [False, False]
    assert val.ground_truth.crowds.tolist() == [True, False]
    assert "difficult objects, trained on, as ppdet does: 1" in train.notes[1]
    assert "difficult objects, crowds, neither found nor missed: 1" in val.notes[1]


def test_images_have_the_order_of_the_list_and_classes_that_of_label_list(made):
    texts = {stem: voc_xml(100, 50, voc_object("cat", *INNER)) for stem in "abc"}
    folder = made(texts, ["c", "a"], ["b"])
    found = read_split(folder, "train").annotations
    assert [each.file for each in found.images] == ["JPEGImages/c.png", "JPEGImages/a.png"]
    write(folder / "label_list.txt", "dog\ncat\n")
    found = read_split(folder, "train").annotations
    assert [(each.id, each.name) for each in found.categories] == [(1, "dog"), (2, "cat")]
    assert set(found.ground_truth.category_ids) == {2}


def test_classes_are_those_of_all_splits(made):
    texts = {
        "a": voc_xml(100, 50, voc_object("dog", *INNER)),
        "b": voc_xml(100, 50, voc_object("cat", *INNER)),
    }
    folder = made(texts, ["a"], ["b"])
    for split in ("train", "val"):
        categories = read_split(folder, split).annotations.categories
        assert [each.name for each in categories] == ["cat", "dog"]


def test_lists_of_pairs_as_ppdet_and_paddlex_write_them(tmp_path):
    for name in ("train_list.txt", "val_list.txt"):
        stem = name[0]
        image(tmp_path / "pictures" / f"{stem}.png")
        write(tmp_path / "xml" / f"{stem}.xml", voc_xml(100, 50, voc_object("cat", *INNER)))
        write(tmp_path / name, f"./pictures/{stem}.png ./xml/{stem}.xml\n")
    found = read_split(tmp_path, "val")
    assert (found.images / found.annotations.images[0].file).is_file()
    assert found.annotations.ground_truth.boxes.tolist() == [[11, 21, 49, 19]]


def test_a_folder_of_xml_without_splits(tmp_path):
    for stem in "ba":
        image(tmp_path / f"{stem}.png")
        write(tmp_path / f"{stem}.xml", voc_xml(100, 50, voc_object("cat", *INNER, difficult=1)))
    assert read_split(tmp_path, "train") is None
    assert read_split(tmp_path, "val") is None
    for split, crowds in (("train", [False, False]), ("val", [True, True])):
        found = read_any_split(tmp_path, split).annotations
        assert [each.file for each in found.images] == ["a.png", "b.png"]
        assert found.ground_truth.crowds.tolist() == crowds


def test_folders_of_splits(tmp_path):
    for split in ("train", "valid"):
        image(tmp_path / split / "a.png")
        write(tmp_path / split / "a.xml", voc_xml(100, 50, voc_object("cat", *INNER)))
    assert read_split(tmp_path, "val").annotations.images[0].file == "valid/a.png"


def test_a_size_that_is_not_stated_is_the_images(made):
    folder = made({"a": voc_xml(0, 0, voc_object("cat", *FULL))})
    found = read_split(folder, "train").annotations
    assert found.images[0].size == (50, 100)
    assert found.ground_truth.boxes.tolist() == [[1, 1, 98, 48]]
    assert "XML files without a size, read from the image: 1" in found.notes[1]


BAD = {
    "a": voc_xml(100, 50, voc_object("cat", *INNER), "<object><name>cat</name></object>"),
    "b": "<annotation><size>",
    "c": voc_xml(100, 50, voc_object("cow", *INNER), voc_object("cat", 30, 30, 20, 40)),
    "d": voc_xml(100, 50, voc_object("cat", 1, "x", 3, 4)),
    "e": voc_xml(100, 50, voc_object("cat", *INNER, difficult=7)),
    "f": "<!DOCTYPE annotation [<!ENTITY a 'b'>]><annotation>&a;</annotation>",
    "g": voc_xml(100, 50, voc_object("cat", *INNER)),
}


def test_all_that_is_wrong_is_listed(made):
    folder = made(BAD, [*BAD, "h"], images="abcdef")
    write(folder / "labels.txt", "cat\n")
    with pytest.raises(PicoDetError) as error:
        read_split(folder, "train")
    for text in (
        f"{folder}: 9 problems",
        "Annotations/a.xml: object 2 (cat) has no box (<bndbox>)",
        "Annotations/b.xml: not XML",
        "c.png: object 1 (cow): its class is none of cat",
        "c.png: object 2 (cat): nothing of its box (30, 30, 20, 40) is in the image",
        "Annotations/d.xml: object 1 (cat) has 'x' as ymin; a number is expected",
        "has '7' as difficult; 0 or 1 is expected",
        "Annotations/f.xml: has a DOCTYPE",
        "g: its image is missing",
        "h: its XML is missing",
        "--bad-boxes drop",
    ):
        assert text in str(error.value)
    found = read_split(folder, "train", "drop").annotations
    assert [each.file[-5:] for each in found.images] == ["a.png", "c.png", "d.png", "e.png"]
    assert found.ground_truth.image_ids.tolist() == [1]
    assert "left out for 9 problems" in found.notes[1]


def test_ten_problems_are_named_and_all_are_counted(made):
    names = [f"n{i:02}" for i in range(13)]
    folder = made({"a": voc_xml(100, 50, voc_object("cat", *INNER))}, ["a", *names])
    with pytest.raises(PicoDetError, match=r"13 problems: \(1\) n00.*\(10\) n09.*; and 3 more"):
        read_split(folder, "train")


def test_paths_stay_in_the_dataset(tmp_path):
    image(tmp_path / "outside.png")
    write(tmp_path / "x.xml", voc_xml(100, 50, voc_object("cat", *INNER)))
    write(tmp_path / "voc" / "train.txt", f"../outside.png ../x.xml\n{tmp_path}/outside.png x.xml")
    write(tmp_path / "voc" / "label_list.txt", "cat")
    with pytest.raises(PicoDetError, match="2 problems"):
        read_split(tmp_path / "voc", "train")


PPDET = """
import json, sys
from ppdet.data.source.voc import VOCDataSet

dataset = VOCDataSet(
    sys.argv[1], "", "train.txt", ["image", "gt_bbox", "gt_class"], label_list="label_list.txt"
)
dataset.parse_dataset()
rows = [(r["im_file"], r["gt_bbox"].tolist(), r["gt_class"].tolist()) for r in dataset.roidbs]
print(json.dumps(rows))
"""


@pytest.mark.paddle
@pytest.mark.slow
def test_the_boxes_trained_on_are_those_of_ppdet(tmp_path, paddle_python):
    random, lines = np.random.RandomState(0), []
    for i in range(40):
        height, width = random.randint(20, 200, 2)
        objects = []
        for _ in range(random.randint(1, 5)):
            x1, y1 = random.uniform(-3, (width - 8, height - 8)).round(2)
            x2 = random.choice([width + 3, width, width - 1, x1 + 5.5])
            y2 = random.choice([height + 3, height, height - 1, y1 + 6.25])
            corners = (each.item() for each in (x1, y1, x2, y2))
            difficult = random.randint(2)
            objects.append(voc_object(NAMES[random.randint(3)], *corners, difficult))
        image(tmp_path / "img" / f"{i}.png", height, width)
        write(tmp_path / "xml" / f"{i}.xml", voc_xml(width, height, *objects))
        lines.append(f"img/{i}.png xml/{i}.xml")
    random.shuffle(lines)
    write(tmp_path / "train.txt", "\n".join(lines) + "\n")
    write(tmp_path / "label_list.txt", "red\nblue\ngreen\n")
    done = subprocess.run(
        [paddle_python, "-W", "ignore", "-c", PPDET, tmp_path], capture_output=True, check=True
    )
    expected = json.loads(done.stdout.splitlines()[-1])
    found = read_split(tmp_path, "train")
    dataset = read_dataset(found.annotations, found.images)
    assert len(dataset) == len(expected) == 40
    for i, (file, boxes, classes) in enumerate(expected):
        assert str(dataset.folder / dataset.files[i]) == file
        assert np.array_equal(dataset.boxes_of(i), np.float32(boxes))
        assert dataset.classes_of(i).tolist() == np.ravel(classes).tolist()
