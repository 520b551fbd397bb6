from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.errors import OutputError
from picodet.inference.images import FailedImage, collect_images, detect_all
from picodet.inference.torch_backend import TorchBackend

CAT = Path(skimage.__file__).parent / "data" / "chelsea.png"


@pytest.fixture(scope="module")
def model():
    return TorchBackend(filled_model(SMALL, seeded_checkpoint(SMALL)))


def run(model, arguments, out):
    paths, _ = collect_images([str(argument) for argument in arguments])
    return list(detect_all(model, paths, out, score_thr=0.05, interp=2))


def test_each_image_is_found_once_in_order(tmp_path):
    for name in ("b.png", "a.png"):
        (tmp_path / name).touch()
    paths, failed = collect_images([str(tmp_path / "b.png"), str(tmp_path), f"{tmp_path}/*.bmp"])
    assert [path.name for path in paths] == ["b.png", "a.png"]
    (bmp,) = failed
    assert bmp == FailedImage(tmp_path / "*.bmp", f"{tmp_path}/*.bmp: matches no file")


def test_a_bad_image_does_not_stop_the_others(model, tmp_path):
    (tmp_path / "bad.jpg").write_text("no image")
    bad, good = run(model, [tmp_path / "bad.jpg", CAT], tmp_path / "out")
    assert "not an image" in bad.error
    assert bad.as_json() == {"file": str(tmp_path / "bad.jpg"), "error": bad.error}
    assert len(good.detections) > 0
    drawn = cv2.imread(str(good.output))
    assert drawn.shape == cv2.imread(str(CAT)).shape
    assert (drawn != cv2.imread(str(CAT))).any()


def test_json_has_plain_numbers(model, tmp_path):
    (outcome,) = run(model, [CAT], tmp_path)
    found = outcome.as_json()
    assert np.array_equal(found["boxes"], outcome.detections.boxes)
    assert found["scores"] == outcome.detections.scores.tolist()
    assert [SMALL.classes[label] for label in found["classes"]] == found["names"]


def test_images_of_the_same_name_are_both_drawn(model, tmp_path):
    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()
        cv2.imwrite(str(folder / "x.png"), cv2.imread(str(CAT)))
    outcomes = run(model, folders, tmp_path / "out")
    assert [outcome.output.name for outcome in outcomes] == ["x.png", "x_2.png"]
    assert all(outcome.output.is_file() for outcome in outcomes)


def test_input_images_are_never_overwritten(model, tmp_path):
    """Neither the current image nor a later one is overwritten."""
    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()
        cv2.imwrite(str(folder / "x.png"), cv2.imread(str(CAT)))
    before = (folders[1] / "x.png").read_bytes()
    for paths in ([folders[1]], folders):
        with pytest.raises(OutputError, match="is one of the input images"):
            run(model, paths, folders[1])
    assert (folders[1] / "x.png").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_an_error(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="there is no folder"):
        run(model, [CAT], tmp_path / "file" / "out")
