import threading

import cv2
import numpy as np
import pytest

from picodet.data.coco import ImageInfo
from picodet.data.image_checksums import UNKNOWN_CHECKSUM
from picodet.evaluation.dataset_checks import ImageProblem, check_images

SIZE = (20, 30)


@pytest.fixture
def images(tmp_path):
    """Ten of one size."""
    for i in range(10):
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), np.full((*SIZE, 3), 9 * i, np.uint8))
    return [ImageInfo(100 + i, f"{i}.jpg", SIZE) for i in range(10)]


def ignore():
    pass


def test_usable_images_have_no_problems(tmp_path, images):
    done = []
    found = check_images(tmp_path, images, 2, lambda: done.append(1))
    assert found.problems == []
    assert [each.size for each in found.checksums] == [
        (tmp_path / image.file).stat().st_size for image in images
    ]
    assert len(done) == 10
    assert check_images(tmp_path, [], 2, ignore) == ([], [])


@pytest.mark.parametrize("threads", [1, 4])
def test_problems_are_reported_in_the_order_of_the_images(tmp_path, images, threads):
    jpeg = (tmp_path / "2.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "4.jpg").unlink()
    (tmp_path / "5.jpg").unlink()
    (tmp_path / "5.jpg").mkdir()
    cv2.imwrite(str(tmp_path / "7.jpg"), np.zeros((30, 20, 3), np.uint8))
    (tmp_path / "9.jpg").write_bytes(b"")
    found, checksums = check_images(tmp_path, images, threads, ignore)
    assert [i for i, each in enumerate(checksums) if each == UNKNOWN_CHECKSUM] == [4, 5]
    assert [(problem.image_id, problem.error is not None) for problem in found] == [
        *((102, True), (104, True), (105, True), (107, False), (109, True)),
    ]
    assert "2.jpg: a JPEG that breaks off" in found[0].error
    assert f"{tmp_path / '4.jpg'}: cannot be read: No such file" in found[1].error
    assert "directory" in found[2].error
    assert found[3] == ImageProblem(107, None)
    assert "9.jpg: an empty file" in found[4].error


def test_a_damaged_image_is_a_problem(tmp_path, images):
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    (tmp_path / "2.jpg").write_bytes(jpeg[:-500] + jpeg[-200:])
    ((found,), _) = check_images(tmp_path, images, 2, ignore)
    assert found.image_id == 102
    assert "2.jpg: a damaged image: its decoder reports 'Corrupt JPEG data: " in found.error


def test_images_in_folders_below(tmp_path, images):
    (tmp_path / "sub").mkdir()
    (tmp_path / "3.jpg").rename(tmp_path / "sub" / "3.jpg")
    assert not check_images(tmp_path, [ImageInfo(1, "sub/3.jpg", SIZE)], 1, ignore).problems


def test_an_interrupted_check_stops_its_threads(tmp_path, images):
    """An interrupted check reads no more images, and leaves no thread behind."""
    before = threading.active_count()

    def enough():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_images(tmp_path, images * 100, 2, enough)
    assert threading.active_count() == before


@pytest.mark.parametrize("name", ["a\0b.jpg", "\ud800.jpg"])
def test_an_impossible_file_name_is_one_problem_among_others(tmp_path, images, name):
    named = [ImageInfo(7, name, SIZE), *images]
    ((problem,), checksums) = check_images(tmp_path, named, 2, ignore)
    assert problem.image_id == 7
    assert "not a valid file name" in problem.error
    assert checksums[0] == UNKNOWN_CHECKSUM
    assert len(checksums) == 11
