"""The machine on which ../shared/reference and ppdet's detections in ../shared were recorded.

At interp 2 its bits are those of OpenCV's kernel for AVX-512. What other kernels make of the 400
images was measured with Paddle's own ONNX:

- IPP's for AVX2 and SSE4.2: 39,886 of ppdet's 39,888 detections are matched, 38,128 and 37,508 are
  the same, and the twelve numbers are within 7e-6;
- OpenCV's own, without IPP: 39,594 are matched, 214 the same, the numbers within 0.0042 (APm).
"""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import cv2
import skimage

from picodet.config import Preprocessing
from picodet.data.preprocess import normalize

# of an image that was resized there by interp 2 and normalized: AVX-512's kernel of Intel's IPP
CUBIC = "b99894858c48e5876c3c95c498e86ea04ebdc11c4143b61b9a906dbd59f3b2e2"


class Bounds(NamedTuple):
    """Allowed differences from ppdet's outcome if the resize kernels differ."""

    numbers: float  # greatest difference of the twelve AP and AR values
    matched: float  # share of all detections, at least
    same: float  # likewise


def bounds() -> Bounds:
    return Bounds(3e-5, 0.999, 0.9) if cv2.ipp.useIPP() else Bounds(0.01, 0.98, 0)


@cache
def resizes_alike() -> bool:
    """Whether OpenCV's cubic resize gives the recorded bits here; picodet's is not used."""
    image = cv2.imread(str(Path(skimage.__file__).parent / "data" / "chelsea.png"))
    height, width = image.shape[:2]
    resized = cv2.resize(
        image, None, fx=416 / width, fy=416 / height, interpolation=cv2.INTER_CUBIC
    )
    return sha256(normalize(resized, Preprocessing()).tobytes()).hexdigest() == CUBIC
