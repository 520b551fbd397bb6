import json

import pytest
from drawn_forms import FORMS, write_form

from picodet.data.coco import find_coco, read_annotations
from picodet.data.forms.dataset import DatasetSplit, read_split
from picodet.data.forms.write_coco import write_coco
from picodet.errors import OutputError, PicoDetError


def quiet(done, total):
    pass


def splits_of(folder):
    return {split: read_split(folder, split) for split in ("train", "val")}


def test_all_forms_are_written_as_the_same_coco(tmp_path):
    written = {}
    for form in FORMS:
        splits = splits_of(write_form(tmp_path / form, form))
        out = tmp_path / f"{form}_out"
        files = write_coco(splits, out, quiet)
        written[form] = {
            str(path.relative_to(out)): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file()
        }
        assert all(file.is_file() for file in files)
    assert len(written["coco"]) == 2 + 6 + 4
    assert written["coco"] == written["voc"] == written["yolo"]
    images, file = find_coco(tmp_path / "yolo_out")
    assert read_annotations(file).images[0].file == "val_0.png"
    assert (images / "val_0.png").is_file()


def test_whole_or_not_at_all(tmp_path):
    splits = splits_of(write_form(tmp_path / "voc", "voc"))

    def fail(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_coco(splits, tmp_path / "out", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["voc"]
    with pytest.raises(OutputError, match="exists already"):
        write_coco(splits, tmp_path / "voc", quiet)


def test_images_outside_and_missing_ones_are_refused(tmp_path):
    folder = write_form(tmp_path / "coco", "coco")
    file = folder / "annotations" / "instances_val2017.json"
    for name, problem in (("../../x.png", "lies outside"), ("gone.png", "cannot be read")):
        content = json.loads(file.read_text())
        content["images"][0]["file_name"] = name
        file.write_text(json.dumps(content))
        val = DatasetSplit(folder / "val2017", read_annotations(file))
        with pytest.raises(PicoDetError, match=problem):
            write_coco({"val": val}, tmp_path / "out", quiet)
    assert not (tmp_path / "out").exists()
