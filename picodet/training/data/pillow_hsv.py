"""Conversion between RGB and HSV, a byte each, bit for bit as in Pillow.

Source of the rounding: rgb2hsv_row and hsv2rgb of src/libImaging/Convert.c, Pillow 13, which
compute partly in float, partly in double.
"""

from functools import lru_cache

import cv2
import numpy as np

BYTES = np.arange(256, dtype=np.uint8)
_SIXTHS = BYTES.astype(np.float64) * 6.0 / 255.0
SECTORS = (np.floor(_SIXTHS) % 6).astype(np.uint8)  # sextant of each hue
FRACTIONS = (_SIXTHS - np.floor(_SIXTHS)).astype(np.float32).astype(np.float64)
SHARES = (BYTES.astype(np.float64) / 255.0).astype(np.float32).astype(np.float64)
# which of red, green and blue is the greatest and which the least, in each sector
GREATEST = np.array([0, 1, 1, 2, 2, 0], np.uint8)
LEAST = np.array([2, 2, 0, 0, 1, 1], np.uint8)
# whether red >= green, green >= blue, blue >= red -> red, green and blue by rank, 0 the greatest
ORDERS = {
    **{(1, 1, 0): (0, 1, 2), (1, 0, 0): (0, 2, 1), (0, 1, 0): (1, 0, 2)},
    **{(0, 1, 1): (2, 0, 1), (1, 0, 1): (1, 2, 0), (0, 0, 1): (2, 1, 0)},
}


def rotate_hue(image: np.ndarray, amount: float) -> np.ndarray:
    """image [H, W, 3] uint8 RGB -> same: hue rotated by `amount`, in 1 / 256 of a turn."""
    red, green, blue = cv2.split(image)
    above, below = cv2.max(red, green), cv2.min(red, green)
    value, least = cv2.max(above, blue), cv2.min(below, blue)
    middle = cv2.max(below, cv2.min(above, blue))
    spread = value - least
    index = (red >= green) * np.int32(1 << 18)
    index += (green >= blue) * np.int32(1 << 17)
    index += (blue >= red) * np.int32(1 << 16)
    index += _pair(value - middle, spread)
    # via int64: direct conversion of values that are no bytes depends on the processor
    moved = (BYTES + np.float64(amount)).astype(np.int64).astype(np.uint8)
    hue = moved[_hues()].take(index)
    saturation = _saturations().take(_pair(spread, value))
    return to_rgb(hue, saturation, value)


def to_hsv(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """image [..., 3] uint8 RGB -> hue, saturation and value, [...] uint8 each."""
    red, green, blue = (image[..., i].astype(np.float32) for i in range(3))
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    gray = spread == 0
    divisor = np.where(gray, np.float32(1), spread)
    saturation = spread / np.where(gray, np.float32(1), value)
    from_red, from_green, from_blue = ((value - c) / divisor for c in (red, green, blue))
    # 2.0 and 4.0 are doubles in C; the result is stored as float
    hue = np.where(
        red == value,
        from_blue - from_green,
        np.where(
            green == value,
            (2.0 + from_red.astype(np.float64) - from_blue).astype(np.float32),
            (4.0 + from_green.astype(np.float64) - from_red).astype(np.float32),
        ),
    )
    turned = np.mod(hue.astype(np.float64) / 6.0 + 1.0, 1.0).astype(np.float32)
    hue_byte = np.where(gray, 0, turned.astype(np.float64) * 255.0).astype(np.uint8)
    saturation_byte = (saturation.astype(np.float64) * 255.0).astype(np.uint8)
    return hue_byte, saturation_byte, value.astype(np.uint8)


def to_rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """hue, saturation and value, [H, W] uint8 each -> [H, W, 3] uint8 RGB."""
    low = _lows().take(_pair(value, saturation))
    middle = _factors().take(_pair(hue, saturation))
    middle *= value
    middle = _rounded(middle)
    planes = []
    for channel in range(3):
        plane = middle.copy()
        np.copyto(plane, value, where=cv2.LUT(hue, _is(GREATEST, channel)).view(bool))
        np.copyto(plane, low, where=cv2.LUT(hue, _is(LEAST, channel)).view(bool))
        planes.append(plane)
    return cv2.merge(planes)


def _is(channels: np.ndarray, channel: int) -> np.ndarray:
    """[256] uint8, of each hue: whether a channel is the one that `channels` has in its sector."""
    return (channels[SECTORS] == channel).astype(np.uint8)


def _pair(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Two bytes -> index in a table of 2^16, int32."""
    pair = high.astype(np.int32)
    pair <<= 8
    pair |= low
    return pair


@lru_cache(maxsize=1)
def _hues() -> np.ndarray:
    """[2^19] uint8 by order, distance of the middle from the greatest, and spread.

    One color for each combination: the hue depends on nothing else.
    """
    spread, distance = BYTES, np.minimum(BYTES[:, None], BYTES)  # [distance, spread]
    ranked = [np.broadcast_to(spread, distance.shape), spread - distance, np.zeros_like(distance)]
    hues = np.zeros((2, 2, 2, 256, 256), np.uint8)
    for order, ranks in ORDERS.items():
        hues[order] = to_hsv(np.stack([ranked[rank] for rank in ranks], axis=-1))[0]
    return hues.ravel()


@lru_cache(maxsize=1)
def _saturations() -> np.ndarray:
    """[2^16] uint8 by spread and value."""
    value = np.broadcast_to(BYTES, (256, 256))
    least = value - np.minimum(BYTES[:, None], value)
    return to_hsv(np.stack([value, least, least], axis=-1))[1].ravel()


@lru_cache(maxsize=1)
def _lows() -> np.ndarray:
    """[2^16] uint8 by value and saturation: the least of red, green and blue."""
    return _rounded(BYTES[:, None].astype(np.float64) * (1.0 - SHARES)).ravel()


@lru_cache(maxsize=1)
def _factors() -> np.ndarray:
    """[2^16] float64 by hue and saturation: the middle of red, green and blue over the value."""
    fraction, odd = FRACTIONS[:, None], (SECTORS % 2 == 1)[:, None]
    return np.where(odd, 1.0 - SHARES * fraction, 1.0 - SHARES * (1.0 - fraction)).ravel()


def _rounded(values: np.ndarray) -> np.ndarray:
    """0 .. 255, halves away from zero, as C's round."""
    return np.floor(values + 0.5).astype(np.uint8)
