import cv2
import numpy as np
import pytest

from picodet.data.pictures import find_pictures, free_name, write_picture
from picodet.errors import ImageError, OutputError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jpg", "a.PNG", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def names(found):
    return [path.name for path in found]


def test_a_folder_means_its_pictures(folder):
    assert names(find_pictures(str(folder))) == ["a.PNG", "b.jpg"]


def test_a_pattern_means_what_it_matches(folder):
    assert names(find_pictures(f"{folder}/*.jpg")) == ["b.jpg"]


def test_a_file_means_itself(folder):
    assert names(find_pictures(str(folder / "absent.jpg"))) == ["absent.jpg"]


def test_a_file_with_brackets_in_its_name_is_no_pattern(folder):
    (folder / "a[1].jpg").touch()
    assert names(find_pictures(f"{folder}/a[1].jpg")) == ["a[1].jpg"]


def test_nothing_is_an_error(folder, tmp_path_factory):
    with pytest.raises(ImageError, match="without pictures"):
        find_pictures(str(tmp_path_factory.mktemp("empty")))
    with pytest.raises(ImageError, match="matches no file"):
        find_pictures(f"{folder}/*.webp")


def test_drawn_copies_never_share_a_name(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert free_name(folder / "b.jpg", out, []) == out / "b.jpg"
    taken = [out / "b.jpg", out / "b_2.jpg"]
    assert free_name(folder / "b.jpg", out, taken) == out / "b_3.jpg"
    assert free_name(folder / "c.gif", out, []) == out / "c.png"


def test_a_drawn_copy_never_replaces_the_picture(folder):
    with pytest.raises(OutputError, match="--out must be another folder"):
        free_name(folder / "b.jpg", folder, [])


def test_writes_what_the_suffix_says(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    write_picture(image, tmp_path / "x.png")
    assert (cv2.imread(str(tmp_path / "x.png")) == image).all()
