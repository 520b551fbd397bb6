"""Selects and identifies the kernels that resize: OpenCV's own and Intel IPP's differ in bits.

OpenCV leaves cubic (of floats linear too) to IPP, which has other kernels for each instruction
set: SSE4.2's, AVX2's and AVX-512's round a few values of a million differently, and
OpenCV's own code, which works with weights of 11 bits, is off by one gray level in 2 to 7 % of the
values. Without IPP OpenCV gives the same bits on every CPU. NumPy and OpenCV only: it runs where
Paddle is and torch is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256

import cv2
import numpy as np

from picodet.config import ResizeKernels

INTERP_NAMES = ("nearest", "linear", "cubic", "area", "Lanczos")  # OpenCV's 0 to 4
# Sizes (height, width) from which and to which. At a third of a pixel one sum in 3,000 lies half
# way between two gray levels: there AVX2's kernel and SSE4.2's part in 467 values of 864,000, and
# elsewhere in 0 to 3.
PROBE_SIZES = (((160, 200), (480, 600)), ((100, 120), (500, 600)), ((427, 640), (320, 352)))
HASH_DIGITS = 16  # of a hash


@contextmanager
def use_kernels(kernels: ResizeKernels) -> Iterator[None]:
    """Use these kernels within the context, in this thread only: OpenCV's IPP switch is per thread.

    "native" leaves the choice to OpenCV, which is portable with OPENCV_IPP=disabled or without IPP.
    """
    before = cv2.ipp.useIPP()
    if kernels == "portable":
        cv2.ipp.setUseIPP(False)
    try:
        yield
    finally:
        cv2.ipp.setUseIPP(before)


def fingerprint(kernels: ResizeKernels, dtype: str = "uint8") -> dict[str, str]:
    """A hash of the kernels' output for each interp name, on images of this dtype."""
    with use_kernels(kernels):
        return {name: _hash(i, dtype, cv2.ipp.useIPP()) for i, name in enumerate(INTERP_NAMES)}


def kernels_differ(interp: int, dtype: str = "uint8") -> bool:
    """Whether the native kernels of an interp give other bits than the portable ones."""
    name = INTERP_NAMES[interp]
    return fingerprint("native", dtype)[name] != fingerprint("portable", dtype)[name]


def describe_kernels(kernels: ResizeKernels) -> str:
    """The kernels as text: "portable (IPP off)", or "native (IPP AVX2)"."""
    with use_kernels(kernels):
        uses_ipp = cv2.ipp.useIPP()
    version = cv2.ipp.getIppVersion().split(" ")  # "ippIP AVX2 (l9) 2026.0.0 (-) ..": what and for
    return f"{kernels} ({' '.join(['IPP', *version[1:2]]) if uses_ipp else 'IPP off'})"


@lru_cache(maxsize=64)
def _hash(interp: int, dtype: str, ipp: bool) -> str:
    """ipp is only a key of the cache: the thread's switch is set already."""
    digest = sha256()
    for (height, width), (to_height, to_width) in PROBE_SIZES:
        image = _noise(height, width).astype(dtype)
        fx, fy = to_width / width, to_height / height
        digest.update(cv2.resize(image, None, fx=fx, fy=fy, interpolation=interp).tobytes())
    return digest.hexdigest()[:HASH_DIGITS]


@lru_cache(maxsize=len(PROBE_SIZES))
def _noise(height: int, width: int) -> np.ndarray:
    """[height, width, 3] uint8 noise of RandomState, a frozen stream: near ties of all kinds."""
    noise = np.random.RandomState(height).bytes(height * width * 3)
    return np.frombuffer(noise, np.uint8).reshape(height, width, 3)
