import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

from picodet.config import Padding, Preprocessing
from picodet.data.preprocess import preprocess, read_image
from picodet.errors import ImageError, PicoDetError

IMAGE_FOLDER = Path(skimage.__file__).parent / "data"


@pytest.mark.parametrize("image_name", ["chelsea.png", "rocket.jpg"])
@pytest.mark.parametrize("size", [(416, 416), (192, 320)])
@pytest.mark.parametrize("interp", range(5))
def test_is_ppdets_bit_for_bit(golden, image_name, size, interp):
    recorded = json.loads((golden / "preprocess.json").read_text())
    image = read_image(IMAGE_FOLDER / image_name)
    portable = Preprocessing(interp=interp, resize="portable")  # as it was recorded
    array, scale_factor = preprocess(image, size, portable)
    expected = recorded[f"{image_name} {size[0]}x{size[1]} {interp}"]
    assert hashlib.sha256(array.tobytes()).hexdigest() == expected["sha256"]
    assert scale_factor.tolist() == expected["scale_factor"]


def test_channels_become_rgb_and_are_normalized_in_turn():
    blue = np.zeros((32, 32, 3), np.uint8)
    blue[:, :, 0] = 255
    array, _ = preprocess(blue, (32, 32), Preprocessing(mean=(0, 0, 0.5), std=(1, 1, 0.25)))
    assert array[:, 0, 0].tolist() == [0, 0, 2]


def test_scale_factor_is_height_before_width():
    _, scale_factor = preprocess(np.zeros((64, 32, 3), np.uint8), (32, 64), Preprocessing())
    assert scale_factor.tolist() == [0.5, 2]


WHITE = np.full((40, 20, 3), 255, np.uint8)


def test_bytes_that_are_not_scaled():
    bytes_in = Preprocessing(mean=(0, 5, 255), std=(1, 10, 2), is_scale=False)
    array, _ = preprocess(WHITE, (32, 32), bytes_in)
    assert array[:, 0, 0].tolist() == [255, 25, 0]


def test_a_kept_ratio_padded_to_a_stride():
    # the short side is to be 64 and the long at most 96: 96 / 40 = 2.4, and 2.4 * 20 = 48
    kept = Preprocessing((0, 0, 0), (1, 1, 1), padding=Padding((96, 64), True, stride=32))
    array, scale_factor = preprocess(WHITE, (96, 64), kept)
    assert scale_factor.tolist() == pytest.approx([2.4, 2.4])
    assert array.shape == (3, 96, 64)
    assert (array[:, :, :48] == 1).all()
    assert (array[:, :, 48:] == 0).all()  # after the normalization


def test_the_short_side_of_an_image_decides_where_the_long_one_fits():
    kept = Preprocessing(padding=Padding((32, 96), True, stride=32))
    array, scale_factor = preprocess(WHITE, (32, 96), kept)  # 32 / 20 = 1.6, and 1.6 * 40 = 64
    assert (array.shape, scale_factor.tolist()) == ((3, 64, 32), pytest.approx([1.6, 1.6]))


def test_a_pad_before_the_normalization():
    padding = Padding((32, 32), False, (64, 32), (51, 102, 153))
    padded = Preprocessing((0, 0, 0), (1, 1, 1), padding=padding)
    array, scale_factor = preprocess(WHITE, (64, 32), padded)
    assert scale_factor.tolist() == pytest.approx([0.8, 1.6])
    assert (array[:, :32] == 1).all()
    assert array[:, 32, 0].tolist() == pytest.approx([0.2, 0.4, 0.6])  # RGB


def test_an_image_that_the_pad_does_not_hold():
    padded = Preprocessing(padding=Padding((32, 64), True, (32, 32)))
    with pytest.raises(PicoDetError, match=r"20 x 40 is resized to 32 x 64, and Pad's size is 32"):
        preprocess(WHITE, (32, 32), padded)


def test_a_step_that_is_not_carried_out():
    with pytest.raises(PicoDetError, match="the model's settings have the step Mirror, which"):
        preprocess(WHITE, (32, 32), Preprocessing(unsupported="the step Mirror"))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_other_arrays_are_no_images(image):
    with pytest.raises(ImageError, match=r"found \["):
        preprocess(image, (32, 32), Preprocessing())


@pytest.mark.parametrize("interp", [5, -1, 2.0, True])
def test_other_interps_are_unknown(interp):
    with pytest.raises(PicoDetError, match=f"interp {interp}"):
        preprocess(np.zeros((8, 8, 3), np.uint8), (32, 32), Preprocessing(interp=interp))


JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3)))[1].tobytes()
PNG = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"GIF?", "not an image"),
        (b"P6\n99999 99999\n255\nx", "9,999,800,001; up to"),
        (JPEG[: len(JPEG) // 2], "breaks off"),
        (PNG[: len(PNG) // 2], "not an image|damaged"),
    ],
)
def test_damaged_images_are_errors(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path / "x")


@pytest.mark.parametrize("name", ["a\0b.jpg", "\ud800.jpg"])
def test_names_that_no_file_can_have_are_errors(tmp_path, name):
    with pytest.raises(ImageError, match="not a valid file name"):
        read_image(tmp_path / name)


def test_a_missing_image_is_an_error(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "x.jpg")
    with pytest.raises(ImageError, match="directory"):
        read_image(tmp_path)


def test_gray_and_transparent_images_are_read_in_color(tmp_path):
    for name, channels in (("gray.png", 1), ("transparent.png", 4)):
        cv2.imwrite(str(tmp_path / name), np.full((4, 5, channels), 7, np.uint8))
        assert (read_image(tmp_path / name) == np.full((4, 5, 3), 7)).all()
