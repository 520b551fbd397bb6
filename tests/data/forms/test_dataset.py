import json

import numpy as np
import pytest
from drawn_forms import EMPTY, FORMS, NAMES, SPLITS, drawn, write, write_form

from picodet.data.forms.dataset import read_any_split, read_split
from picodet.errors import PicoDetError


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    return {form: write_form(folder / form, form) for form in FORMS}


def boxes_of(split):
    """(image id, name, x, y, width, height) as drawn."""
    return [(i + 1, *box) for i in range(SPLITS[split]) for box in drawn(split, i)[1]]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("form", FORMS)
def test_all_forms_give_the_boxes_that_were_drawn(datasets, form, split):
    found = read_split(datasets[form], split)
    annotations, ground_truth = found.annotations, found.annotations.ground_truth
    assert [each.name for each in annotations.categories] == list(NAMES)
    names = [NAMES[i - 1] for i in ground_truth.category_ids]
    rows = zip(ground_truth.image_ids, names, *ground_truth.boxes.T, strict=True)
    assert list(rows) == boxes_of(split)
    assert ground_truth.areas.tolist() == [box[4] * box[5] for box in boxes_of(split)]
    assert not ground_truth.crowds.any()
    assert [image.id for image in annotations.images] == list(range(1, SPLITS[split] + 1))
    for i, image in enumerate(annotations.images):
        assert image.size == drawn(split, i)[0].shape[:2]
        assert (found.images / image.file).is_file()
    assert EMPTY + 1 not in ground_truth.image_ids


@pytest.mark.parametrize(
    ("form", "name"), [("coco", "COCO"), ("voc", "Pascal VOC"), ("yolo", "YOLO")]
)
def test_the_form_and_counts_are_told(datasets, form, name):
    note = read_split(datasets[form], "train").annotations.notes[0]
    counted = f"{len(boxes_of('train'))} boxes, 3 classes (blue, green, red)"
    assert f"{name}, train: 6 images (1 without boxes), {counted}" in note


def test_what_was_read_is_known_by_its_content(datasets, tmp_path):
    for form in FORMS:
        copy = write_form(tmp_path / form, form)
        digests = [
            read_split(path, split).annotations.digest
            for path in (datasets[form], copy)
            for split in ("train", "val")
        ]
        assert digests[:2] == digests[2:]
        assert digests[0] != digests[1]
    before = read_split(datasets["voc"], "val").annotations
    xml = tmp_path / "voc" / "Annotations" / "val_0.xml"
    x = before.ground_truth.boxes[0, 0]
    xml.write_text(xml.read_text().replace(f"<xmin>{x:.0f}<", f"<xmin>{x + 1:.0f}<", 1))
    after = read_split(tmp_path / "voc", "val").annotations
    assert after.images == before.images
    assert after.digest != before.digest


def test_roboflow_writes_coco_beside_the_images(datasets, tmp_path):
    for split, folder in (("train", "train"), ("val", "valid")):
        (tmp_path / folder).mkdir()
        for image in (datasets["coco"] / f"{split}2017").iterdir():
            (tmp_path / folder / image.name).write_bytes(image.read_bytes())
        file = datasets["coco"] / "annotations" / f"instances_{split}2017.json"
        (tmp_path / folder / "_annotations.coco.json").write_bytes(file.read_bytes())
    found = read_split(tmp_path, "val")
    expected = read_split(datasets["coco"], "val")
    assert found.images == tmp_path / "valid"
    assert np.array_equal(
        found.annotations.ground_truth.boxes, expected.annotations.ground_truth.boxes
    )
    assert found.annotations.digest == expected.annotations.digest


def test_what_is_no_dataset(tmp_path):
    write(tmp_path / "notes.txt", "")
    with pytest.raises(PicoDetError, match=r"found notes\.txt; expected COCO \(train2017, val2017"):
        read_split(tmp_path, "train")
    with pytest.raises(PicoDetError, match="found nothing; expected the folder of a dataset"):
        read_split(tmp_path / "missing", "train")


def test_a_split_that_is_missing(datasets, tmp_path):
    write_form(tmp_path / "yolo", "yolo")
    write(tmp_path / "yolo" / "data.yaml", "train: images/train\nnames: [blue, green, red]\n")
    assert read_split(tmp_path / "yolo", "val") is None
    with pytest.raises(PicoDetError, match="found the split train; expected val"):
        read_any_split(tmp_path / "yolo", "val")


def test_half_a_coco_says_what_is_missing(tmp_path):
    write(tmp_path / "annotations" / "instances_train2017.json", json.dumps({}))
    with pytest.raises(PicoDetError, match="looked for images in train2017"):
        read_split(tmp_path, "train")
