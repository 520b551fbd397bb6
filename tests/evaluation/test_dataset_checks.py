import threading

import cv2
import numpy as np
import pytest

from picodet.data.coco import Picture
from picodet.data.image_checksums import UNKNOWN
from picodet.evaluation.dataset_checks import Trouble, check_pictures

SIZE = (20, 30)


@pytest.fixture
def pictures(tmp_path):
    """Ten of one size."""
    for i in range(10):
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), np.full((*SIZE, 3), 9 * i, np.uint8))
    return [Picture(100 + i, f"{i}.jpg", SIZE) for i in range(10)]


def ignore():
    pass


def test_good_pictures_are_no_trouble(tmp_path, pictures):
    done = []
    found = check_pictures(tmp_path, pictures, 2, lambda: done.append(1))
    assert found.troubles == []
    assert [each.size for each in found.sums] == [
        (tmp_path / picture.file).stat().st_size for picture in pictures
    ]
    assert len(done) == 10
    assert check_pictures(tmp_path, [], 2, ignore) == ([], [])


@pytest.mark.parametrize("threads", [1, 4])
def test_all_troubles_are_told_in_the_order_of_the_pictures(tmp_path, pictures, threads):
    jpeg = (tmp_path / "2.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "4.jpg").unlink()
    (tmp_path / "5.jpg").unlink()
    (tmp_path / "5.jpg").mkdir()
    cv2.imwrite(str(tmp_path / "7.jpg"), np.zeros((30, 20, 3), np.uint8))
    (tmp_path / "9.jpg").write_bytes(b"")
    found, sums = check_pictures(tmp_path, pictures, threads, ignore)
    assert [i for i, each in enumerate(sums) if each == UNKNOWN] == [4, 5]
    assert [(trouble.picture_id, trouble.error is not None) for trouble in found] == [
        *((102, True), (104, True), (105, True), (107, False), (109, True)),
    ]
    assert "2.jpg: a JPEG that breaks off" in found[0].error
    assert f"{tmp_path / '4.jpg'}: cannot be read: No such file" in found[1].error
    assert "directory" in found[2].error
    assert found[3] == Trouble(107, None)
    assert "9.jpg: an empty file" in found[4].error


def test_a_damaged_picture_is_trouble(tmp_path, pictures):
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    (tmp_path / "2.jpg").write_bytes(jpeg[:-500] + jpeg[-200:])
    ((found,), _) = check_pictures(tmp_path, pictures, 2, ignore)
    assert found.picture_id == 102
    assert "2.jpg: a damaged image: 'Corrupt JPEG data: " in found.error


def test_pictures_in_folders_below(tmp_path, pictures):
    (tmp_path / "sub").mkdir()
    (tmp_path / "3.jpg").rename(tmp_path / "sub" / "3.jpg")
    assert not check_pictures(tmp_path, [Picture(1, "sub/3.jpg", SIZE)], 1, ignore).troubles


def test_who_has_enough_does_not_wait_for_the_rest(tmp_path, pictures):
    """An interrupted check reads no more pictures, and leaves no thread behind."""
    before = threading.active_count()

    def enough():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_pictures(tmp_path, pictures * 100, 2, enough)
    assert threading.active_count() == before


@pytest.mark.parametrize("name", ["a\0b.jpg", "\ud800.jpg"])
def test_a_name_that_no_file_has_is_one_trouble_and_the_others_go_on(tmp_path, pictures, name):
    named = [Picture(7, name, SIZE), *pictures]
    ((trouble,), sums) = check_pictures(tmp_path, named, 2, ignore)
    assert trouble.picture_id == 7
    assert "no file has such a name" in trouble.error
    assert sums[0] == UNKNOWN
    assert len(sums) == 11
