"""From an annotation file to a training dataset, as ppdet's COCODataSet."""

import json
import subprocess

import numpy as np
import pytest

from picodet.errors import TrainingError
from picodet.training.data.dataset import read_dataset

CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
DOG, CAT = 3, 7


def box(image, category, bbox, **other):
    area = bbox[2] * bbox[3]
    return {"image_id": image, "category_id": category, "bbox": bbox, "area": area} | other


@pytest.fixture
def dataset(tmp_path):
    """Writes an annotation file for boxes; the image files are empty."""

    def write(*boxes, images_present=(5, 2)):
        for i in images_present:
            (tmp_path / f"{i}.jpg").touch()
        images = [{"id": i, "file_name": f"{i}.jpg", "height": 90, "width": 120} for i in (5, 2)]
        rows = [{"id": i, "iscrowd": 0} | each for i, each in enumerate(boxes)]
        content = {"images": images, "categories": CATEGORIES, "annotations": rows}
        file = tmp_path / "a.json"
        file.write_text(json.dumps(content))
        return file

    return write


def test_corners_rounded_in_the_order_of_the_file(dataset):
    file = dataset(
        box(5, CAT, [10.0, 20.0, 30.0, 40.0]),
        box(2, DOG, [0.12345, 1.0, 2.0, 3.0]),
        box(5, DOG, [0.0025, 2.0, 3.0, 4.0]),  # 0.003; NumPy has 0.002
    )
    train_set = read_dataset(file, file.parent)
    assert train_set.files == ("2.jpg", "5.jpg")
    assert train_set.image_ids.tolist() == [2, 5]
    assert train_set.class_names == ("dog", "cat")  # by their ids
    assert train_set.boxes_of(0).tolist() == np.float32([[0.123, 1, 2.123, 4]]).tolist()
    expected = np.float32([[10, 20, 40, 60], [0.003, 2, 3.002, 6]])
    assert train_set.boxes_of(1).tolist() == expected.tolist()
    assert train_set.classes_of(1).tolist() == [1, 0]


def test_boxes_of_a_image_stay_in_their_order(dataset):
    rows = [box((5, 2)[i % 2], CAT, [i, 1, 2, 3]) for i in range(60)]
    file = dataset(*rows)
    train_set = read_dataset(file, file.parent)
    assert train_set.boxes_of(0)[:, 0].tolist() == list(range(1, 60, 2))
    assert train_set.boxes_of(1)[:, 0].tolist() == list(range(0, 60, 2))


def test_what_cannot_be_found_is_left_out(dataset):
    file = dataset(
        box(5, CAT, [10, 20, 30, 40], iscrowd=1),
        box(5, CAT, [10, 20, 30, 40], area=0),
        box(5, CAT, [10, 20, 1e-6, 40]),
        box(2, CAT, [1, 2, 3, 4]),
        images_present=(2,),  # the other has nothing, and is not asked for
    )
    train_set = read_dataset(file, file.parent)
    assert (train_set.files, len(train_set), train_set.boxes.tolist()) == (
        ("2.jpg",),
        1,
        [[1, 2, 4, 6]],
    )


def test_classes_by_name(dataset):
    file = dataset(box(5, CAT, [10, 20, 30, 40]), box(2, DOG, [1, 2, 3, 4]))
    train_set = read_dataset(file, file.parent, ("cat",))
    assert (train_set.files, train_set.classes.tolist()) == (("5.jpg",), [0])
    train_set = read_dataset(file, file.parent, ("cat", "dog"))
    assert train_set.classes.tolist() == [1, 0]
    with pytest.raises(TrainingError, match=r"no category named bird; it has dog, cat"):
        read_dataset(file, file.parent, ("cat", "bird"))


def test_nothing_to_train_on(dataset):
    file = dataset(box(5, CAT, [10, 20, 30, 40], iscrowd=1))
    with pytest.raises(TrainingError, match="none of its 1 boxes"):
        read_dataset(file, file.parent)


def test_missing_images(dataset):
    file = dataset(box(5, CAT, [10, 20, 30, 40]), box(2, CAT, [1, 2, 3, 4]), images_present=(2,))
    with pytest.raises(TrainingError, match=r"1 of 2 images .* missing: 5\.jpg"):
        read_dataset(file, file.parent)


def test_two_categories_of_one_name(dataset):
    file = dataset(box(5, CAT, [10, 20, 30, 40]))
    content = json.loads(file.read_text())
    content["categories"][0]["name"] = "dog"
    file.write_text(json.dumps(content))
    with pytest.raises(TrainingError, match="3 and 7 are both named 'dog'"):
        read_dataset(file, file.parent)


PPDET = """
import json, logging, sys
logging.disable(logging.WARNING)
from ppdet.data.source.coco import COCODataSet
fields = ["image", "gt_bbox", "gt_class", "is_crowd"]
dataset = COCODataSet("", sys.argv[1], sys.argv[2], fields)
dataset.parse_dataset()
rows = [[int(r["im_id"][0]), r["gt_bbox"].tolist(), r["gt_class"][:, 0].tolist()]
        for r in dataset.roidbs]
print(json.dumps(rows))
"""


@pytest.mark.slow
@pytest.mark.paddle
def test_real_annotations_are_read_as_ppdet_does(shared, paddle_python):
    file, folder = shared / "coco" / "instances_val400.json", shared / "coco" / "val2017"
    command = [paddle_python, "-W", "ignore", "-c", PPDET, folder, file]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    train_set = read_dataset(file, folder)
    assert json.loads(output.splitlines()[-1]) == [
        [
            int(train_set.image_ids[i]),
            train_set.boxes_of(i).tolist(),
            train_set.classes_of(i).tolist(),
        ]
        for i in range(len(train_set))
    ]


def test_what_is_not_trained_on_is_noted(dataset):
    file = dataset(box(5, CAT, [1, 1, 4, 4]), box(2, DOG, [1, 1, 4, 4]), box(5, DOG, [0, 0, 9, 9]))
    assert read_dataset(file, file.parent).notes == ()
    assert read_dataset(file, file.parent, ["cat"]).notes == (
        f"{file}: 1 of 2 images have no box to train on and are left out, as ppdet does",
        f"{file}: 2 of 3 boxes are of other categories and ignored: dog",
    )
