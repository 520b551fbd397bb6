"""Our answers to probes.py against the reference's, or against those that came with the package."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.checks.image_probes import compare_pictures, preprocessed
from picodet.alignment.checks.nms import compare_kept, kept
from picodet.alignment.diagnosis.decoding import explain_boxes, explain_scores
from picodet.alignment.recording import probes
from picodet.alignment.recording.reader import Recording
from picodet.alignment.result import Finding
from picodet.alignment.tolerance import Tolerance, gap, noise
from picodet.config import Head
from picodet.errors import RecordingError
from picodet.formats.npz_files import read_npz
from picodet.graphs.operators import Key
from picodet.models.head import AnyHeadOutput, HeadOutput, HeadV2Output, Integral
from picodet.ops import decode

LIVE = "the reference's own answer"
NAMES = {
    *(f"{probes.IMAGE_PREFIX}{interp}" for interp in probes.INTERPS),
    *(f"{name}/{what}" for name in probes.HEAD_PREFIXES.values() for what in ("boxes", "scores")),
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
    kernels: str  # how far the resize's part, where the reference's are not ours


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
    keys, shipped, theirs = _answers(recording)
    integral = _for_probes(integral, bins)
    ours = probes.collect_answers(preprocessed, lambda asked: _decode(asked, integral), _suppress)
    pictures = compare_pictures(recording, keys, shipped)
    return Probed(
        preprocessing=pictures.findings,
        decoding=tuple(_decoding_findings(head, integral, theirs, tolerance)),
        nms=tuple(
            finding
            for case in probes.NMS_CASES
            for finding in compare_kept(
                ours[f"NMS/{case}"],
                theirs[f"NMS/{case}"],
                True,
                f"probe: {case}",
                probes.nms_inputs(case),
            )
        ),
        evidence=LIVE if _is_live(recording) else SHIPPED,
        kernels=pictures.kernels,
    )


def _is_live(recording: Recording) -> bool:
    """Whether the reference was asked, and the same that ours is asked now."""
    return recording.index.versions.get(probes.VERSION_KEY) == probes.questions_digest()


def _answers(
    recording: Recording,
) -> tuple[dict[str, Key], dict[str, Key], dict[str, np.ndarray]]:
    """The keys of the preprocessed pictures, those that were shipped, and the other answers."""
    answers = read_npz(probes.RECORDED_ANSWERS)
    shipped = {
        name: str(answers.pop(name))
        for name in list(answers)
        if name.startswith(probes.IMAGE_PREFIX)
    }
    if not _is_live(recording):
        return shipped, shipped, answers
    known = recording.index.probes
    if missing := NAMES - known.keys():
        first = min(missing)
        raise RecordingError(f"{recording.path}: has no answer to {first}; record it again")
    keys = {name: key for name, key in known.items() if name in shipped}
    live = {name: recording.tensor(key) for name, key in known.items() if name not in shipped}
    return keys, shipped, live


def _suppress(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return kept(boxes, scores, np.ones(2, np.float32))


def _outputs(dtype: torch.dtype) -> dict[Head, AnyHeadOutput]:
    """What the probes ask decodings for."""
    joined = [torch.from_numpy(array).to(dtype) for array in probes.head_outputs()]
    split = (x.split([probes.NUM_CLASSES, 4 * probes.NUM_BINS], dim=1) for x in joined)
    parts = zip(*probes.head_v2_outputs(), strict=True)
    return {
        "pico_head": HeadOutput(*map(tuple, zip(*split, strict=True))),
        "pico_head_v2": HeadV2Output(
            *(tuple(torch.from_numpy(x).to(dtype) for x in part) for part in parts)
        ),
    }


def _for_probes(integral: Integral, bins: Tensor | None) -> Integral:
    """A copy with as many bins as the probes have: 0, 1, 2 .., or as far as they go `bins`."""
    own = copy.deepcopy(integral)
    own.project = torch.arange(probes.NUM_BINS, dtype=torch.float32)
    if bins is not None:
        own.project[: len(bins)] = bins[: probes.NUM_BINS].float()
    return own


def _decoded(head: Head, integral: Integral, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        return decode.decode(_outputs(dtype)[head], copy.deepcopy(integral).to(dtype))


def _decode(head: Head, integral: Integral) -> tuple[np.ndarray, np.ndarray]:
    boxes, scores = _decoded(head, integral, torch.float32)
    return boxes[0].numpy(), scores[0].numpy()


def _decoding_findings(
    head: Head, integral: Integral, theirs: dict[str, np.ndarray], tolerance: Tolerance
) -> list[Finding]:
    single, double = (_decoded(head, integral, t) for t in (torch.float32, torch.float64))
    findings = []
    for i, (name, explain) in enumerate((("boxes", explain_boxes), ("scores", explain_scores))):
        reference = torch.from_numpy(theirs[f"{probes.HEAD_PREFIXES[head]}/{name}"])[None]
        found = gap(single[i], reference, noise(single[i], double[i]), tolerance)
        if not found.ok:
            why = explain(_outputs(torch.float32)[head], single[i])
            at = f" at {list(found.index)}" if found.index else ""
            shown = found.problem or f"{found.ours:.7g}{at}"
            findings.append(Finding(f"probe: {name}", shown, f"{found.reference:.7g}", why))
    return findings
