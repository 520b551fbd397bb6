"""The probe picture under all interps: ours against the reference's, whatever kernels it has."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from picodet.alignment.checks.resize_kernels import parted, same_kernels, why_not
from picodet.alignment.recording import probes
from picodet.alignment.recording.index import content_key
from picodet.alignment.recording.reader import Recording
from picodet.alignment.result import Finding
from picodet.config import Preprocessing, ResizeKernels
from picodet.data import preprocess
from picodet.data.resize_kernels import using
from picodet.graphs.operators import Key

UNKNOWN = "none of the usual mistakes"
Answers = dict[str, np.ndarray]


@dataclass(frozen=True)
class Seen:
    """What differs, and how far two kernels part where the reference's are not ours."""

    findings: tuple[Finding, ...]
    kernels: str


def compare_pictures(recording: Recording, keys: dict[str, Key], shipped: dict[str, Key]) -> Seen:
    """keys: of the reference's answers, or the shipped ones, which portable kernels have made."""
    ours: dict[ResizeKernels, Answers] = {}
    for kernels in get_args(ResizeKernels):
        with using(kernels):
            ours[kernels] = probes.collect_preprocessing(preprocessed)
    findings, notes = [], []
    for name, key in keys.items():
        interp = int(name.removeprefix(probes.IMAGE_PREFIX))
        native, portable = (ours[kernels][name] for kernels in get_args(ResizeKernels))
        if content_key(native) == key:
            continue
        why: str | None = UNKNOWN
        # whatever kernels the reference has, portable ones have made the shipped answers
        if keys is shipped or not same_kernels(recording.index.kernels, "native", interp):
            reference = portable
            if content_key(portable) == key:
                why = None
            elif recording.has(key):
                reference = recording.tensor(key)
                why = _why_not(reference, interp)
            elif keys is not shipped and content_key(portable) == shipped[name]:
                continue  # of a key nothing but equality can be told, and here is one
            if why is None:
                notes.append(_parted(native, reference))
                continue
        explained = _explain(key, interp)
        diagnosis = why if why and explained == UNKNOWN else explained
        text = ("other bits", "the reference's, bit for bit")
        findings.append(Finding(f"probe: interp {interp}", *text, diagnosis))
    return Seen(tuple(findings), notes[0] if notes else "")


def _parted(native: np.ndarray, reference: np.ndarray) -> str:
    mine, theirs = _bytes(native), _bytes(reference)
    return "" if mine is None or theirs is None else parted(mine, theirs)


def preprocessed(picture: Path, size: tuple[int, int], interp: int) -> np.ndarray:
    """[3, *size] float32."""
    image = preprocess.read_image(picture)
    return preprocess.preprocess(image, size, Preprocessing(interp=interp))[0]


def _why_not(reference: np.ndarray, interp: int) -> str | None:
    """As of resize_comparison, of a picture that is normalised, which is undone."""
    theirs = _bytes(reference)
    if theirs is None:
        return UNKNOWN
    bgr = np.ascontiguousarray(theirs[..., ::-1])
    if not np.array_equal(preprocess.normalise(bgr, Preprocessing()), reference):
        return "the same bytes are normalised otherwise"
    image = preprocess.read_image(probes.IMAGE)
    return why_not(image, probes.IMAGE_SIZE, interp, bgr)


def _bytes(normalised: np.ndarray) -> np.ndarray | None:
    """[3, H, W] float32 -> [H, W, 3] uint8 RGB, if each value is a byte's, normalised."""
    grey = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    tables = preprocess.normalise(grey, Preprocessing())[:, 0]
    planes = []
    for plane, table in zip(normalised, tables, strict=True):
        found = np.searchsorted(table, plane).clip(0, 255)
        if not np.array_equal(table[found], plane):
            return None
        planes.append(found.astype(np.uint8))
    return np.stack(planes, axis=-1)


def _explain(key: Key, interp: int) -> str:
    """Which interp or order of colours of ours gives what the reference has at `interp`."""
    image = preprocess.read_image(probes.IMAGE)
    for other in probes.INTERPS:
        for colours, picture in (("", image), (", with the colours exchanged", image[..., ::-1])):
            for kernels in get_args(ResizeKernels):
                array, _ = preprocess.preprocess(
                    np.ascontiguousarray(picture),
                    probes.IMAGE_SIZE,
                    Preprocessing(interp=other, resize=kernels),
                )
                if content_key(array) == key:
                    asked = f"ours does with interp {other}" if other != interp else "ours does it"
                    return f"what the reference does with interp {interp}, {asked}{colours}"
    return UNKNOWN
