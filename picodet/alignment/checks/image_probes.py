"""The probe image under all interps: picodet's against the reference's, with any kernels."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from picodet.alignment.checks.resize_kernels import (
    describe_difference,
    explain_mismatch,
    same_kernels,
)
from picodet.alignment.recording import probes
from picodet.alignment.recording.index import content_key
from picodet.alignment.recording.reader import Recording
from picodet.alignment.result import UNKNOWN_CAUSE, Finding
from picodet.config import Preprocessing, ResizeKernels
from picodet.data import preprocess
from picodet.data.resize_kernels import use_kernels
from picodet.graphs.operators import TensorKey

Answers = dict[str, np.ndarray]


@dataclass(frozen=True)
class ImageProbeResult:
    """Differing image probes, and how much the kernels differ if the reference has others."""

    findings: tuple[Finding, ...]
    kernels: str


def compare_image_probes(
    recording: Recording, keys: dict[str, TensorKey], shipped: dict[str, TensorKey]
) -> ImageProbeResult:
    """Compare by key. keys: the reference's answers, or `shipped`, made by portable kernels."""
    answers: dict[ResizeKernels, Answers] = {}
    for kernels in get_args(ResizeKernels):
        with use_kernels(kernels):
            answers[kernels] = probes.collect_preprocessing(preprocess_probe)
    findings, notes = [], []
    for name, key in keys.items():
        interp = int(name.removeprefix(probes.IMAGE_PREFIX))
        native, portable = (answers[kernels][name] for kernels in get_args(ResizeKernels))
        if content_key(native) == key:
            continue
        reason: str | None = UNKNOWN_CAUSE
        # the shipped answers are of portable kernels, whatever the reference has
        if keys is shipped or not same_kernels(recording.index.kernels, "native", interp):
            reference = portable
            if content_key(portable) == key:
                reason = None
            elif recording.has(key):
                reference = recording.tensor(key)
                reason = _explain_mismatch(reference, interp)
            elif keys is not shipped and content_key(portable) == shipped[name]:
                continue  # a key shows equality only, and this one is equal
            if reason is None:
                notes.append(_kernel_difference(native, reference))
                continue
        explained = _explain(key, interp)
        diagnosis = reason if reason and explained == UNKNOWN_CAUSE else explained
        text = ("other bits", "the reference's, bit for bit")
        findings.append(Finding(f"probe: interp {interp}", *text, diagnosis))
    return ImageProbeResult(tuple(findings), notes[0] if notes else "")


def _kernel_difference(native: np.ndarray, reference: np.ndarray) -> str:
    pixels, expected = _undo_normalization(native), _undo_normalization(reference)
    return "" if pixels is None or expected is None else describe_difference(pixels, expected)


def preprocess_probe(image_path: Path, size: tuple[int, int], interp: int) -> np.ndarray:
    """The preprocessed image, [3, *size] float32."""
    image = preprocess.read_image(image_path)
    return preprocess.preprocess(image, size, Preprocessing(interp=interp))[0]


def _explain_mismatch(reference: np.ndarray, interp: int) -> str | None:
    """`explain_mismatch` for a normalized image: the normalization is undone first."""
    rgb = _undo_normalization(reference)
    if rgb is None:
        return UNKNOWN_CAUSE
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    if not np.array_equal(preprocess.normalize(bgr, Preprocessing()), reference):
        return "the resize agrees, the normalization differs"
    image = preprocess.read_image(probes.IMAGE)
    return explain_mismatch(image, probes.IMAGE_SIZE, interp, bgr)


def _undo_normalization(normalized: np.ndarray) -> np.ndarray | None:
    """[3, H, W] float32 -> [H, W, 3] uint8 RGB, if every value is a normalized byte, else None."""
    gray = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    tables = preprocess.normalize(gray, Preprocessing())[:, 0]
    planes = []
    for plane, table in zip(normalized, tables, strict=True):
        found = np.searchsorted(table, plane).clip(0, 255)
        if not np.array_equal(table[found], plane):
            return None
        planes.append(found.astype(np.uint8))
    return np.stack(planes, axis=-1)


def _explain(key: TensorKey, interp: int) -> str:
    """The interp or channel order with which picodet gives the reference's result at `interp`."""
    image = preprocess.read_image(probes.IMAGE)
    for other in probes.INTERPS:
        for note, pixels in (("", image), (", with red and blue exchanged", image[..., ::-1])):
            for kernels in get_args(ResizeKernels):
                array, _ = preprocess.preprocess(
                    np.ascontiguousarray(pixels),
                    probes.IMAGE_SIZE,
                    Preprocessing(interp=other, resize=kernels),
                )
                if content_key(array) == key:
                    return (
                        f"the reference's result with interp {interp} is picodet's with interp "
                        f"{other}{note}"
                    )
    return UNKNOWN_CAUSE
