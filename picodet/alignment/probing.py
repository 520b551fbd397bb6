"""Our answers to probes.py against the reference's, or against those that came with the package."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from picodet import decoding
from picodet.alignment import probes
from picodet.alignment.comparison import Finding
from picodet.alignment.decoding_diagnosis import explain_boxes, explain_scores
from picodet.alignment.gap import Tolerance, gap, noise
from picodet.alignment.index import content_key
from picodet.alignment.recording import Recording
from picodet.alignment.suppression import compare_kept, kept
from picodet.config import Head, Preprocessing
from picodet.data import preprocess
from picodet.errors import RecordingError
from picodet.graphs.operators import Key
from picodet.models.head import AlignedOutput, HeadOutput, Integral, Output

LIVE = "the reference's own answer"
NAMES = {
    *(f"{probes.PICTURES}{interp}" for interp in probes.INTERPS),
    *(f"{name}/{what}" for name in probes.HEADS.values() for what in ("boxes", "scores")),
    *(f"NMS/{case}" for case in probes.NMS_CASES),
}
SHIPPED = "ppdet's answer that came with picodet"


@dataclass(frozen=True)
class Probed:
    """What differs, by rung, and whose answers ours were held against."""

    preprocessing: tuple[Finding, ...]
    decoding: tuple[Finding, ...]
    nms: tuple[Finding, ...]
    evidence: str


def probe(
    head: Head,
    integral: Integral,
    recording: Recording,
    tolerance: Tolerance,
    bins: Tensor | None = None,
) -> Probed:
    """head: the model's, whose decoding is asked; integral: its own, with the probes' bins.

    bins: the model's own values of them, where the reference has none to hold them against: the
    probes are then decoded with those.
    """
    keys, theirs = _answers(recording)
    integral = _for_probes(integral, bins)
    ours = probes.ask(_preprocess, lambda asked: _decode(asked, integral), _suppress)
    return Probed(
        preprocessing=tuple(
            Finding(
                f"probe: interp {name.removeprefix(probes.PICTURES)}",
                "other bits",
                "the reference's, bit for bit",
                _explain_picture(keys[name], int(name.removeprefix(probes.PICTURES))),
            )
            for name in keys
            if content_key(ours[name]) != keys[name]
        ),
        decoding=tuple(_decoding_findings(head, integral, theirs, tolerance)),
        nms=tuple(
            finding
            for case in probes.NMS_CASES
            for finding in compare_kept(
                ours[f"NMS/{case}"],
                theirs[f"NMS/{case}"],
                True,
                f"probe: {case}",
                probes.candidates(case),
            )
        ),
        evidence=LIVE if _is_live(recording) else SHIPPED,
    )


def _is_live(recording: Recording) -> bool:
    """Whether the reference was asked, and the same that ours is asked now."""
    return recording.index.versions.get(probes.VERSION) == probes.digest()


def _answers(recording: Recording) -> tuple[dict[str, Key], dict[str, np.ndarray]]:
    """The keys of the preprocessed pictures, and the other answers."""
    known = recording.index.probes
    if _is_live(recording):
        if missing := NAMES - known.keys():
            first = min(missing)
            raise RecordingError(f"{recording.path}: has no answer to {first}; record it again")
        keys = {name: key for name, key in known.items() if name.startswith(probes.PICTURES)}
        return keys, {
            name: recording.tensor(key) for name, key in known.items() if name not in keys
        }
    with np.load(probes.RECORDED, allow_pickle=False) as stored:
        answers = dict(stored)
    keys = {
        name: str(answers.pop(name)) for name in list(answers) if name.startswith(probes.PICTURES)
    }
    return keys, answers


def _preprocess(picture: Path, size: tuple[int, int], interp: int) -> np.ndarray:
    image = preprocess.read_image(picture)
    return preprocess.preprocess(image, size, Preprocessing(interp=interp))[0]


def _suppress(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return kept(boxes, scores, np.ones(2, np.float32))


def _outputs(dtype: torch.dtype) -> dict[Head, Output]:
    """What the probes ask decodings for."""
    joined = [torch.from_numpy(array).to(dtype) for array in probes.heads()]
    split = (x.split([probes.HEAD_CLASSES, 4 * probes.BINS], dim=1) for x in joined)
    parts = zip(*probes.aligned_heads(), strict=True)
    return {
        "pico_head": HeadOutput(*map(tuple, zip(*split, strict=True))),
        "pico_head_v2": AlignedOutput(
            *(tuple(torch.from_numpy(x).to(dtype) for x in part) for part in parts)
        ),
    }


def _for_probes(integral: Integral, bins: Tensor | None) -> Integral:
    """A copy with as many bins as the probes have: 0, 1, 2 .., or as far as they go `bins`."""
    own = copy.deepcopy(integral)
    own.project = torch.arange(probes.BINS, dtype=torch.float32)
    if bins is not None:
        own.project[: len(bins)] = bins[: probes.BINS].float()
    return own


def _decoded(head: Head, integral: Integral, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        return decoding.decode(_outputs(dtype)[head], copy.deepcopy(integral).to(dtype))


def _decode(head: Head, integral: Integral) -> tuple[np.ndarray, np.ndarray]:
    boxes, scores = _decoded(head, integral, torch.float32)
    return boxes[0].numpy(), scores[0].numpy()


def _decoding_findings(
    head: Head, integral: Integral, theirs: dict[str, np.ndarray], tolerance: Tolerance
) -> list[Finding]:
    single, double = (_decoded(head, integral, t) for t in (torch.float32, torch.float64))
    findings = []
    for i, (name, explain) in enumerate((("boxes", explain_boxes), ("scores", explain_scores))):
        reference = torch.from_numpy(theirs[f"{probes.HEADS[head]}/{name}"])[None]
        found = gap(single[i], reference, noise(single[i], double[i]), tolerance)
        if not found.ok:
            why = explain(_outputs(torch.float32)[head], single[i])
            at = f" at {list(found.index)}" if found.index else ""
            shown = found.problem or f"{found.ours:.7g}{at}"
            findings.append(Finding(f"probe: {name}", shown, f"{found.reference:.7g}", why))
    return findings


def _explain_picture(key: str, interp: int) -> str:
    """Which interp or order of colours of ours gives what the reference has at `interp`."""
    image = preprocess.read_image(probes.PICTURE)
    for other in probes.INTERPS:
        for colours, picture in (("", image), (", with the colours exchanged", image[..., ::-1])):
            array, _ = preprocess.preprocess(
                np.ascontiguousarray(picture), probes.PICTURE_SIZE, Preprocessing(interp=other)
            )
            if content_key(array) == key:
                asked = f"ours does with interp {other}" if other != interp else "ours does it"
                return f"what the reference does with interp {interp}, {asked}{colours}"
    return "none of the usual mistakes"
