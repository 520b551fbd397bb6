import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from picodet.data.image_files import copy_names, find_pictures, write_picture
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


def test_drawn_copies_never_share_a_name(tmp_path):
    pictures = [Path(name) for name in ("1/b.jpg", "2/b.jpg", "3/b.jpg", "c.gif")]
    names = ["b.jpg", "b_2.jpg", "b_3.jpg", "c.png"]
    assert copy_names(pictures, tmp_path) == [tmp_path / name for name in names]


def test_a_drawn_copy_never_replaces_a_picture(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "b.jpg"
    for pictures in ([folder / "b.jpg"], [other, folder / "b.jpg"]):
        with pytest.raises(OutputError, match="--out must be another folder"):
            copy_names(pictures, folder)


def test_writes_what_the_suffix_says(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    write_picture(image, tmp_path / "x.png")
    assert (cv2.imread(str(tmp_path / "x.png")) == image).all()


def test_a_picture_that_its_format_cannot_hold_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="OpenCV cannot write"):
        write_picture(np.zeros((1, 20_000, 3), np.uint8), tmp_path / "x.webp")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such links")
def test_a_loop_of_links_stops_no_other_picture(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    found = find_pictures(str(tmp_path))
    assert names(found) == ["a.jpg", "loop.jpg"]
    assert copy_names(found, tmp_path / "out") == [tmp_path / "out" / n for n in names(found)]
