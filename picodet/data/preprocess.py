"""Preprocesses an image for the network, bit for bit as ppdet's TestReader does.

Source: ppdet/data/transform/operators.py of PaddleDetection 666f597, Decode (:131), Resize (:848),
NormalizeImage (:409) and Permute.
"""

import warnings
from functools import lru_cache
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from picodet.config import Padding, Preprocessing, ResizeKernels
from picodet.data import decoder_warnings
from picodet.data.image_headers import image_size, is_truncated_jpeg
from picodet.data.resize_kernels import INTERP_NAMES, use_kernels
from picodet.errors import ImageError, ImageWarning, PicoDetError
from picodet.files import read_bytes

MAX_PIXELS = 1 << 28  # of one image: 0.8 GB decoded; cameras have up to 200 million
MAX_BYTES = (1 << 31) - 1  # OpenCV's limit


def read_image(path: Path) -> np.ndarray:
    """[H, W, 3] uint8 BGR. Raises ImageError if the file is unreadable, damaged or no image.

    Issues an ImageWarning if the decoder complains but the pixels are right.
    """
    try:
        data = read_bytes(path, MAX_BYTES)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
    return decode(data, str(path))


def decode(data: bytes, name: str) -> np.ndarray:
    """[H, W, 3] uint8 BGR of an encoded image; Raises ImageError, which begins with `name`."""
    if not data:
        raise ImageError(f"{name}: an empty file; expected an image")
    if is_truncated_jpeg(data):
        raise ImageError(f"{name}: a JPEG that breaks off after {len(data):,} bytes; copy it again")
    height, width = image_size(data) or (0, 0)
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width} x {height} pixels, {height * width:,}; up to {MAX_PIXELS:,} are "
            "read. Cut it into tiles, or make it smaller"
        )
    try:
        image, lines = decoder_warnings.decode(data)
    except cv2.error as error:  # a header that claims more than 2^30 pixels
        raise ImageError(f"{name}: OpenCV refuses it: {error.err}") from error
    if image is None:
        reason = f" ({lines[0]})" if lines else ""
        raise ImageError(f"{name}: not an image that OpenCV can decode, or a damaged one{reason}")
    for line in lines:
        if decoder_warnings.is_damage(line, data):
            raise ImageError(
                f"{name}: a damaged image: its decoder reports {line!r}, and guesses what is "
                "missing; copy it again, or leave it out"
            )
        if not line.startswith("TIFF_Warning"):  # of unknown tags
            warnings.warn(f"{name}: its decoder reports {line!r}; used", ImageWarning, stacklevel=2)
    return image


def preprocess(
    image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
) -> tuple[np.ndarray, np.ndarray]:
    """image [H, W, 3] uint8 BGR -> [3, *size] float32 RGB, and the scale factor [2] (y, x).

    size: (height, width); with a padding to multiples of a stride, the image decides it. Raises
    ImageError for other arrays, PicoDetError for settings that are unknown or not supported.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(
            f"an image is [H, W, 3] uint8 in BGR, as cv2.imread reads it; "
            f"found {list(image.shape)} {image.dtype}"
        )
    check_supported(preprocessing)
    with use_kernels(preprocessing.resize):
        resized = resize_and_pad(image, size, preprocessing)
    return normalize(resized, preprocessing), scale_factor(image, size, preprocessing)


def check_supported(preprocessing: Preprocessing) -> None:
    """Raise PicoDetError for settings that `preprocess` cannot carry out."""
    if preprocessing.unsupported:
        raise PicoDetError(
            f"preprocessing: the model's settings have {preprocessing.unsupported}, which picodet "
            "does not carry out; expected Resize, Pad, NormalizeImage, Permute and PadStride as in "
            "PaddleDetection's deploy/python/preprocess.py. Correct the settings, and convert the "
            "model again if it was converted"
        )
    interp = preprocessing.interp
    if type(interp) is not int or not 0 <= interp < len(INTERP_NAMES):
        raise PicoDetError(f"interp {preprocessing.interp}: OpenCV's 0 to 4 are known")
    if preprocessing.resize not in get_args(ResizeKernels):
        raise PicoDetError(f"resize {preprocessing.resize!r}: native or portable is expected")


def scale_factor(
    image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
) -> np.ndarray:
    """[2] float32 (y, x): size of the resized image, before any padding, over that of the image."""
    return np.array(_scales(image, size, preprocessing.padding), np.float32)


def resize(image: np.ndarray, size: tuple[int, int], interp: int) -> np.ndarray:
    """image [H, W, 3] uint8 -> [*size, 3] uint8, aspect ratio not kept, as ppdet with factors."""
    fy, fx = size[0] / image.shape[0], size[1] / image.shape[1]
    return cv2.resize(image, None, fx=fx, fy=fy, interpolation=interp)


def resize_and_pad(
    image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
) -> np.ndarray:
    """image [H, W, 3] uint8 or float32 -> [*size, 3], as ppdet's Resize and Pad.

    Raises PicoDetError where the resized image is larger than Pad's size.
    """
    padding = preprocessing.padding
    if padding is None:
        return resize(image, size, preprocessing.interp)
    fy, fx = _scales(image, size, padding)
    resized = cv2.resize(image, None, fx=fx, fy=fy, interpolation=preprocessing.interp)
    if padding.size is None:
        return resized
    below, right = (side - own for side, own in zip(padding.size, resized.shape, strict=False))
    if min(below, right) < 0:
        raise PicoDetError(
            f"preprocessing: an image of {image.shape[1]} x {image.shape[0]} is resized to "
            f"{resized.shape[1]} x {resized.shape[0]}, and Pad's size is {padding.size[1]} x "
            f"{padding.size[0]}; expected one that is not smaller"
        )
    fill = padding.fill[::-1]  # of BGR, as the image
    return cv2.copyMakeBorder(resized, 0, below, 0, right, cv2.BORDER_CONSTANT, value=fill)


def _scales(
    image: np.ndarray, size: tuple[int, int], padding: Padding | None
) -> tuple[float, float]:
    """Factors (y, x) of the resize (deploy/python/preprocess.py, Resize.generate_scale)."""
    height, width = image.shape[:2]
    target = padding.target_size if padding else size
    if padding is None or not padding.keep_ratio:
        return target[0] / height, target[1] / width
    scale = min(target) / min(height, width)
    if np.round(scale * max(height, width)) > max(target):
        scale = max(target) / max(height, width)
    return scale, scale


def normalize(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """image [H, W, 3] uint8 BGR -> [3, H, W] float32 RGB, padded to PadStride's multiples."""
    rgb = cv2.split(image)[::-1]
    tables = _lookup_tables(preprocessing.mean, preprocessing.std, preprocessing.is_scale)
    planes = [cv2.LUT(plane, table) for plane, table in zip(rgb, tables, strict=True)]
    return _pad_to_stride(np.stack(planes), preprocessing.padding)


def normalize_float(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """image [H, W, 3] float32 BGR, values of 0 to 255 or beyond -> [3, H, W] float32 RGB."""
    rgb = image.transpose(2, 0, 1)[::-1].reshape(3, -1)
    planes = _scale_and_normalize(
        rgb, preprocessing.mean, preprocessing.std, preprocessing.is_scale
    )
    return _pad_to_stride(planes.reshape(3, *image.shape[:2]), preprocessing.padding)


def _pad_to_stride(planes: np.ndarray, padding: Padding | None) -> np.ndarray:
    if padding is None or not padding.stride:
        return planes
    below, right = (-side % padding.stride for side in planes.shape[1:])
    return np.pad(planes, ((0, 0), (0, below), (0, right)))


@lru_cache(maxsize=8)
def _lookup_tables(mean: tuple[float, ...], std: tuple[float, ...], is_scale: bool) -> np.ndarray:
    """[3, 256] float32, read-only: the normalized value of each byte in each channel."""
    byte_values = np.tile(np.arange(256, dtype=np.float32), (3, 1))
    tables = _scale_and_normalize(byte_values, mean, std, is_scale)
    tables.setflags(write=False)
    return tables


def _scale_and_normalize(
    values: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], is_scale: bool
) -> np.ndarray:
    """values [3, N] float32, one channel per row -> [3, N] float32.

    Arithmetic as ppdet's: scaled in float32, then mean and std in float64, and after each step
    rounded to float32.
    """
    scaled = values * np.float32(1 / 255) if is_scale else values
    centered = (scaled - np.array(mean)[:, None]).astype(np.float32)
    return (centered / np.array(std)[:, None]).astype(np.float32)
