import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.data import json_columns
from picodet.data.coco import Category, ImageInfo, find_coco, has_split
from picodet.data.coco import read_annotations as read
from picodet.errors import PicoDetError


def content():
    return {
        "info": {},
        "images": [
            {"id": 9, "file_name": "b.jpg", "height": 20, "width": 30},
            {"id": 4, "file_name": "a.jpg", "height": 10, "width": 15},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 1, "name": "person"}],
        "annotations": [
            {
                **{"id": 7, "image_id": 4, "category_id": 3, "bbox": [1, 2.5, 3, 4]},
                **{"area": 11.5, "iscrowd": 1, "segmentation": []},
            },
            {"id": 5, "image_id": 9, "category_id": 1, "bbox": [0, 0, 0, 4], "area": 0},
        ],
    }


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        return path

    return write


def test_reads_what_an_evaluation_needs(file):
    path = file(content())
    read_back = read(path)
    assert read_back.path == path
    assert read_back.images == (ImageInfo(4, "a.jpg", (10, 15)), ImageInfo(9, "b.jpg", (20, 30)))
    assert read_back.categories == (Category(1, "person"), Category(3, "cat"))
    ground_truth = read_back.ground_truth
    assert len(ground_truth) == 2
    assert ground_truth.ids.tolist() == [7, 5]  # in the order of the file, which decides ties
    assert ground_truth.image_ids.tolist() == [4, 9]
    assert ground_truth.category_ids.tolist() == [3, 1]
    assert ground_truth.boxes.tolist() == [[1, 2.5, 3, 4], [0, 0, 0, 4]]
    assert ground_truth.areas.tolist() == [11.5, 0]
    assert ground_truth.crowds.tolist() == [True, False]
    assert read_back.image_indices(np.array([9, 4, 9])).tolist() == [1, 0, 1]
    packed = path.with_suffix(".json.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed).images == read_back.images


def test_images_without_boxes_are_images(file):
    dataset = read(file(content() | {"annotations": []}))
    assert (len(dataset.images), len(dataset.ground_truth)) == (2, 0)
    assert dataset.ground_truth.boxes.shape == (0, 4)


def test_some_images_only(file):
    dataset = read(file(content())).select_images({9})
    assert dataset.images == (ImageInfo(9, "b.jpg", (20, 30)),)
    assert dataset.ground_truth.ids.tolist() == [5]
    assert len(dataset.categories) == 2


FAULTS = [
    ("images", 1, "id", 9, r"images\[1\]: duplicate id 9; each entry needs its own"),
    ("images", 0, "id", "9", r"images\[0\]: id is '9'; an integer is expected"),
    ("images", 0, "id", 2**70, r"images\[0\]: id is 1180591620717411303424; an integer"),
    ("images", 0, "id", 2**53, r"images\[0\]: id is 9007199254740992; an integer from -900719925"),
    ("images", 0, "id", -(2**53), r"images\[0\]: id is -9007199254740992; an integer from -90071"),
    ("images", 0, "id", 2.0**53, r"images\[0\]: id is 9007199254740992.0; an integer from -900719"),
    ("images", 0, "id", -(2**63), r"images\[0\]: id is -9223372036854775808; an integer from -900"),
    ("images", 0, "id", True, r"images\[0\]: id is True; an integer is expected"),
    ("categories", 0, "id", 2**53 + 1, r"categories\[0\]: id is 9007199254740993; an integer from"),
    (
        "annotations",
        0,
        "category_id",
        2**60,
        r"category_id is 1152921504606846976; an integer from",
    ),
    ("images", 0, "file_name", "", r"images\[0\]: file_name is ''; a text is expected"),
    ("images", 1, "height", 0, r"images\[1\]: the size is 15x0"),
    ("images", 1, "width", 1.5, r"images\[1\]: width is 1.5; an integer is expected"),
    ("categories", 1, "id", 3, r"categories\[1\]: duplicate id 3"),
    ("categories", 0, "name", None, r"categories\[0\]: name is None; a text"),
    ("annotations", 1, "id", 7, r"annotations\[1\]: duplicate id 7"),
    ("annotations", 0, "image_id", 5, r"annotations\[0\]: image_id 5 is none of the file's images"),
    ("annotations", 1, "category_id", 2, r"annotations\[1\]: category_id 2 is none of"),
    ("annotations", 1, "bbox", [0, 0, 1], r"bbox is \[0, 0, 1\]; a list of x, y, width"),
    ("annotations", 1, "bbox", [0, 0, 1, None], r"annotations\[1\]: bbox is"),
    ("annotations", 1, "bbox", [0, 0, 1, "2"], r"annotations\[1\]: bbox is"),
    (
        "annotations",
        1,
        "bbox",
        [0, 0, 1, float("nan")],
        r"annotations\[1\]: bbox is \[0, 0, 1, nan\]",
    ),
    ("annotations", 1, "bbox", [0, 0, 1, 10**400], r"annotations\[1\]: bbox is"),
    (
        "annotations",
        0,
        "bbox",
        [0, 0, -1, 2],
        r"annotations\[0\]: bbox is \[0.0, 0.0, -1.0, 2.0\]; width and height",
    ),
    ("annotations", 0, "area", -0.5, r"annotations\[0\]: area is -0.5; 0 or more"),
    (
        "annotations",
        0,
        "area",
        True,
        r"annotations\[0\]: area is True; a number from -1e\+15 to 1e\+15",
    ),
    ("annotations", 0, "iscrowd", 2, r"annotations\[0\]: iscrowd is 2; 0 or 1 is expected"),
]


@pytest.mark.parametrize(("part", "row", "key", "value", "message"), FAULTS)
def test_names_the_entry_that_is_wrong(file, part, row, key, value, message):
    wrong = content()
    wrong[part][row][key] = value
    with pytest.raises(PicoDetError, match=r"instances\.json: .*" + message):
        read(file(wrong))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([], "not a COCO annotation file: found no object; expected images, categories, "),
        ({"images": []}, "found images; expected"),
        ({}, "found nothing; expected"),
        (content() | {"images": {}}, r"images: found \{\}; expected a list of objects"),
        (content() | {"categories": []}, "has 2 images and 0 categories"),
        (content() | {"annotations": [{"id": 1}]}, r"annotations\[0\] has no image_id; it has id"),
        (content() | {"annotations": [[]]}, r"annotations\[0\] is \[\]; an object like"),
        (content() | {"annotations": [3]}, r"annotations\[0\] is 3; an object like"),
        (content() | {"annotations": ["id"]}, r"annotations\[0\] is 'id'; an object like"),
    ],
)
def test_says_what_is_missing(file, wrong, message):
    with pytest.raises(PicoDetError, match=message):
        read(file(wrong))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not json", "is not JSON: Expecting value"),
        (b"\xff\xfe\x00", "is not JSON: "),
        (b"[" * 100_000, "is not JSON: maximum recursion"),
        (b"", "is not JSON"),
    ],
)
def test_what_is_not_json(tmp_path, data, message):
    path = tmp_path / "instances.json"
    path.write_bytes(data)
    with pytest.raises(PicoDetError, match=message):
        read(path)


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(PicoDetError, match=r"none\.json: cannot be read: No such file"):
        read(tmp_path / "none.json")
    with pytest.raises(PicoDetError, match="cannot be read: Is a directory"):
        read(tmp_path)
    for data in (b"no gzip", gzip.compress(b"[]" * 99)[:-9], b"\x1f\x8b\x08" + bytes(9)):
        (tmp_path / "a.json.gz").write_bytes(data)
        with pytest.raises(PicoDetError, match=r"a.json.gz: (cannot be unpacked|is not JSON)"):
            read(tmp_path / "a.json.gz")


def test_what_unpacks_to_too_much_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(json_columns, "MIN_UNPACKED_LIMIT", 100_000)
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b" " * 1_000_000 + b"[]"))
    with pytest.raises(PicoDetError, match=r"unpacks to more than 10\d,\d{3} bytes; 100 times"):
        read(path)
    path.write_bytes(gzip.compress(b" " * 90_000 + b"[]"))
    with pytest.raises(PicoDetError, match="not a COCO annotation file"):
        read(path)


def test_the_greatest_ids_there_are(file):
    greatest = 2**53 - 1
    changed = content()
    changed["images"][0]["id"] = greatest
    for annotation in changed["annotations"]:
        annotation["image_id"] = greatest
    (last,) = (image for image in read(file(changed)).images if image.file == "b.jpg")
    assert last.id == greatest


@pytest.mark.parametrize("name", ["category_ids_from_2e53.json", "image_ids_from_2e53.json"])
def test_ids_that_doubles_cannot_tell_apart(shared, name):
    with pytest.raises(PicoDetError, match=r"\[0\]: (id|\w+_id) is 9007199254740992; an integer"):
        read(shared / "cases" / name)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=3), values),
    max_leaves=5,
)
keys = ("id", "file_name", "height", "name", "image_id", "category_id", "bbox", "area", "iscrowd")


@given(
    st.sampled_from(["images", "categories", "annotations"]),
    st.sampled_from(keys),
    json_values,
)
def test_any_value_is_read_or_refused_in_words(tmp_path_factory, part, key, value):
    path = tmp_path_factory.mktemp("annotations") / "instances.json"
    wrong = content()
    wrong[part][0][key] = value
    path.write_text(json.dumps(wrong))
    try:
        read(path)
        message = None
    except PicoDetError as error:
        message = str(error)
    places = {part, "annotations"} if key == "id" else {part}  # whose owner is then another
    assert message is None or any(f"{place}[" in message for place in places)


@pytest.mark.parametrize("images", ["val2017", "images/val2017"])
@pytest.mark.parametrize(
    "annotations", ["annotations/instances_val2017.json", "instances_val400.json"]
)
def test_finds_the_usual_layouts(tmp_path, images, annotations):
    (tmp_path / images).mkdir(parents=True)
    (tmp_path / annotations).parent.mkdir(exist_ok=True)
    (tmp_path / annotations).write_text("{}")
    (tmp_path / "instances_train2017.json").write_text("{}")
    assert find_coco(tmp_path) == (tmp_path / images, tmp_path / annotations)


def test_says_where_it_looked(tmp_path):
    (tmp_path / "val2017").mkdir()
    (tmp_path / "instances_val1.json").write_text("{}")
    (tmp_path / "instances_val2.json").write_text("{}")  # which one?
    message = (
        r"val2017 and images/val2017 \(found .*val2017\).*"
        r"annotations/instances_val2017.json or .* \(not found\)"
    )
    with pytest.raises(PicoDetError, match=message):
        find_coco(tmp_path)


def test_finds_the_training_split(tmp_path):
    with pytest.raises(PicoDetError, match=r"no train split .*train2017 .*\(not found\).*--coco"):
        find_coco(tmp_path, "train")
    (tmp_path / "images" / "train2017").mkdir(parents=True)
    (tmp_path / "annotations").mkdir()
    subset = tmp_path / "annotations" / "instances_train_part.json"
    subset.touch()
    assert find_coco(tmp_path, "train") == (tmp_path / "images" / "train2017", subset)
    whole = tmp_path / "annotations" / "instances_train2017.json"
    whole.touch()
    assert find_coco(tmp_path, "train")[1] == whole


def test_boxes_that_do_not_say_whether_they_are_a_crowd(file):
    path = file(content())
    note = f"{path}: 1 of 2 annotations have no iscrowd and count as 0: no crowd"
    assert read(path).notes == read(path).select_images({9}).notes == (note,)
    whole = content()
    whole["annotations"][1]["iscrowd"] = 0
    assert read(file(whole)).notes == ()


def test_half_a_split_is_one(tmp_path):
    """So that find_coco says what is missing of it."""
    assert not has_split(tmp_path, "val")
    (tmp_path / "images/val2017").mkdir(parents=True)
    assert (has_split(tmp_path, "val"), has_split(tmp_path, "train")) == (True, False)
    (tmp_path / "instances_train400.json").touch()
    assert has_split(tmp_path, "train")


def test_an_area_that_is_not_stated_is_that_of_the_box(file):
    """Width times height, which COCO's sizes of objects go by."""
    whole = content()
    for row in whole["annotations"]:
        row["iscrowd"] = 0
        del row["area"]
    path = file(whole)
    assert read(path).ground_truth.areas.tolist() == [12, 0]
    note = f"{path}: 2 of 2 annotations have no area and get that of their box"
    assert read(path).notes == (note,)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([None, None], [1, 2]), ([None, 5], [1, 5]), ([1, None], [1, 2]), ([2**53 - 1, None], None)],
)
def test_ids_that_are_not_stated(file, ids, expected):
    whole = content()
    for row, identity in zip(whole["annotations"], ids, strict=True):
        row["iscrowd"] = 0
        row.pop("id")
        if identity is not None:
            row["id"] = identity
    found = read(file(whole))
    assert found.ground_truth.ids.tolist() == (expected or [2**53 - 1, 1])
    assert "annotations have no id and get numbers that are free" in found.notes[0]
