import json

import pytest
from drawn_coco import read, write_dataset

from scripts.make_coco_subset import make, read_ids, select

FEW = (0, 37, 333)  # of the ids that drawn_coco gives ten images: multiples of 37


def test_there_are_400_distinct_ids():
    ids = read_ids()
    assert len(ids) == len(set(ids)) == 400
    assert ids == sorted(ids)
    assert (ids[0], ids[-1]) == (139, 580294)


def test_the_subset_has_these_images_and_their_boxes(tmp_path):
    coco = write_dataset(tmp_path / "coco")
    whole = read(coco)
    images, boxes = make(coco, tmp_path / "few", FEW)
    made = json.loads((tmp_path / "few" / "instances_val3.json").read_text())
    assert images == 3
    assert {row["id"] for row in made["images"]} == set(FEW)
    assert made["categories"] == whole["categories"]
    assert made["annotations"] == [row for row in whole["annotations"] if row["image_id"] in FEW]
    assert boxes == len(made["annotations"]) > 0
    names = {row["file_name"] for row in made["images"]}
    assert {path.name for path in (tmp_path / "few" / "val2017").iterdir()} == names
    for name in names:
        copied, original = (folder / "val2017" / name for folder in (tmp_path / "few", coco))
        assert copied.read_bytes() == original.read_bytes()


def test_images_missing_in_coco_are_named():
    content = {"images": [{"id": 5}], "annotations": [], "categories": []}
    with pytest.raises(ValueError, match="2 of 3 images are not in the annotation file, first 6"):
        select(content, [5, 7, 6])


def test_an_existing_folder_is_kept(tmp_path):
    coco = write_dataset(tmp_path / "coco")
    with pytest.raises(FileExistsError):
        make(coco, coco, FEW)
