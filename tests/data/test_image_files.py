import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from picodet.data.image_files import copy_paths, find_images, write_image
from picodet.errors import ImageError, OutputError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jpg", "a.PNG", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def names(found):
    return [path.name for path in found]


def test_a_folder_means_its_images(folder):
    assert names(find_images(str(folder))) == ["a.PNG", "b.jpg"]


def test_a_pattern_means_what_it_matches(folder):
    assert names(find_images(f"{folder}/*.jpg")) == ["b.jpg"]


def test_a_file_means_itself(folder):
    assert names(find_images(str(folder / "absent.jpg"))) == ["absent.jpg"]


def test_a_file_with_brackets_in_its_name_is_no_pattern(folder):
    (folder / "a[1].jpg").touch()
    assert names(find_images(f"{folder}/a[1].jpg")) == ["a[1].jpg"]


def test_nothing_is_an_error(folder, tmp_path_factory):
    with pytest.raises(ImageError, match="without images"):
        find_images(str(tmp_path_factory.mktemp("empty")))
    with pytest.raises(ImageError, match="matches no file"):
        find_images(f"{folder}/*.webp")


def test_drawn_copies_never_share_a_name(tmp_path):
    images = [Path(name) for name in ("1/b.jpg", "2/b.jpg", "3/b.jpg", "c.gif")]
    names = ["b.jpg", "b_2.jpg", "b_3.jpg", "c.png"]
    assert copy_paths(images, tmp_path) == [tmp_path / name for name in names]


def test_a_drawn_copy_never_replaces_an_input(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "b.jpg"
    for images in ([folder / "b.jpg"], [other, folder / "b.jpg"]):
        with pytest.raises(OutputError, match="give another folder as --out"):
            copy_paths(images, folder)


def test_writes_what_the_suffix_says(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    write_image(image, tmp_path / "x.png")
    assert (cv2.imread(str(tmp_path / "x.png")) == image).all()


def test_an_image_that_its_format_cannot_hold_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="OpenCV cannot write"):
        write_image(np.zeros((1, 20_000, 3), np.uint8), tmp_path / "x.webp")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such links")
def test_a_loop_of_links_stops_no_other_image(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    found = find_images(str(tmp_path))
    assert names(found) == ["a.jpg", "loop.jpg"]
    assert copy_paths(found, tmp_path / "out") == [tmp_path / "out" / n for n in names(found)]
