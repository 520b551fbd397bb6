"""The probe picture under all interps: ours against the reference's, whatever kernels it has."""

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
from picodet.alignment.result import Finding
from picodet.config import Preprocessing, ResizeKernels
from picodet.data import preprocess
from picodet.data.resize_kernels import use_kernels
from picodet.graphs.operators import TensorKey

UNKNOWN = "none of the usual mistakes"
Answers = dict[str, np.ndarray]


@dataclass(frozen=True)
class ImageProbeResult:
    """What differs, and how far two kernels part where the reference's are not ours."""

    findings: tuple[Finding, ...]
    kernels: str


def compare_image_probes(
    recording: Recording, keys: dict[str, TensorKey], shipped: dict[str, TensorKey]
) -> ImageProbeResult:
    """keys: of the reference's answers, or the shipped ones, which portable kernels have made."""
    ours: dict[ResizeKernels, Answers] = {}
    for kernels in get_args(ResizeKernels):
        with use_kernels(kernels):
            ours[kernels] = probes.collect_preprocessing(preprocess_probe)
    findings, notes = [], []
    for name, key in keys.items():
        interp = int(name.removeprefix(probes.IMAGE_PREFIX))
        native, portable = (ours[kernels][name] for kernels in get_args(ResizeKernels))
        if content_key(native) == key:
            continue
        reason: str | None = UNKNOWN
        # whatever kernels the reference has, portable ones have made the shipped answers
        if keys is shipped or not same_kernels(recording.index.kernels, "native", interp):
            reference = portable
            if content_key(portable) == key:
                reason = None
            elif recording.has(key):
                reference = recording.tensor(key)
                reason = _explain_mismatch(reference, interp)
            elif keys is not shipped and content_key(portable) == shipped[name]:
                continue  # of a key nothing but equality can be told, and here is one
            if reason is None:
                notes.append(_kernel_difference(native, reference))
                continue
        explained = _explain(key, interp)
        diagnosis = reason if reason and explained == UNKNOWN else explained
        text = ("other bits", "the reference's, bit for bit")
        findings.append(Finding(f"probe: interp {interp}", *text, diagnosis))
    return ImageProbeResult(tuple(findings), notes[0] if notes else "")


def _kernel_difference(native: np.ndarray, reference: np.ndarray) -> str:
    mine, theirs = _undo_normalization(native), _undo_normalization(reference)
    return "" if mine is None or theirs is None else describe_difference(mine, theirs)


def preprocess_probe(image_path: Path, size: tuple[int, int], interp: int) -> np.ndarray:
    """[3, *size] float32."""
    image = preprocess.read_image(image_path)
    return preprocess.preprocess(image, size, Preprocessing(interp=interp))[0]


def _explain_mismatch(reference: np.ndarray, interp: int) -> str | None:
    """As of resize_comparison, of a picture that is normalised, which is undone."""
    theirs = _undo_normalization(reference)
    if theirs is None:
        return UNKNOWN
    bgr = np.ascontiguousarray(theirs[..., ::-1])
    if not np.array_equal(preprocess.normalize(bgr, Preprocessing()), reference):
        return "the same bytes are normalised otherwise"
    image = preprocess.read_image(probes.IMAGE)
    return explain_mismatch(image, probes.IMAGE_SIZE, interp, bgr)


def _undo_normalization(normalized: np.ndarray) -> np.ndarray | None:
    """[3, H, W] float32 -> [H, W, 3] uint8 RGB, if each value is a byte's, normalised."""
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
    """Which interp or order of colours of ours gives what the reference has at `interp`."""
    image = preprocess.read_image(probes.IMAGE)
    for other in probes.INTERPS:
        for note, pixels in (("", image), (", with the colours exchanged", image[..., ::-1])):
            for kernels in get_args(ResizeKernels):
                array, _ = preprocess.preprocess(
                    np.ascontiguousarray(pixels),
                    probes.IMAGE_SIZE,
                    Preprocessing(interp=other, resize=kernels),
                )
                if content_key(array) == key:
                    what_ours_does = (
                        f"ours does with interp {other}" if other != interp else "ours does it"
                    )
                    return f"what the reference does with interp {interp}, {what_ours_does}{note}"
    return UNKNOWN
