"""Our answers to probes.py against the reference's, or against those that came with the package."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.checks.image_probes import compare_image_probes, preprocess_probe
from picodet.alignment.checks.nms import compare_kept_boxes, our_nms
from picodet.alignment.diagnosis.decoding import explain_boxes, explain_scores
from picodet.alignment.recording import probes
from picodet.alignment.recording.reader import Recording
from picodet.alignment.result import Finding
from picodet.alignment.tolerance import Tolerance, measure_difference, noise_between
from picodet.config import Head
from picodet.errors import RecordingError
from picodet.formats.npz_files import read_npz
from picodet.graphs.operators import TensorKey
from picodet.models.head import AnyHeadOutput, HeadOutput, HeadV2Output, Integral
from picodet.ops import decode

LIVE_ANSWERS = "the reference's own answer"
ANSWER_NAMES = {
    *(f"{probes.IMAGE_PREFIX}{interp}" for interp in probes.INTERPS),
    *(f"{name}/{what}" for name in probes.HEAD_PREFIXES.values() for what in ("boxes", "scores")),
    *(f"NMS/{case}" for case in probes.NMS_CASES),
}
SHIPPED_ANSWERS = "ppdet's answer that came with picodet"


@dataclass(frozen=True)
class ProbeResults:
    """What differs, by rung, and whose answers ours were held against."""

    preprocessing: tuple[Finding, ...]
    decoding: tuple[Finding, ...]
    nms: tuple[Finding, ...]
    evidence: str
    kernels: str  # how far the resize's part, where the reference's are not ours


def run_probes(
    head: Head,
    integral: Integral,
    recording: Recording,
    tolerance: Tolerance,
    bins: Tensor | None = None,
) -> ProbeResults:
    """head: the model's, whose decoding is asked; integral: its own, with the probes' bins.

    bins: the model's own values of them, where the reference has none to hold them against: the
    probes are then decoded with those.
    """
    keys, shipped, theirs = _answers(recording)
    integral = _for_probes(integral, bins)
    ours = probes.collect_answers(
        preprocess_probe, lambda head_name: _decode(head_name, integral), _run_nms
    )
    images = compare_image_probes(recording, keys, shipped)
    return ProbeResults(
        preprocessing=images.findings,
        decoding=tuple(_decoding_findings(head, integral, theirs, tolerance)),
        nms=tuple(
            finding
            for case in probes.NMS_CASES
            for finding in compare_kept_boxes(
                ours[f"NMS/{case}"],
                theirs[f"NMS/{case}"],
                True,
                f"probe: {case}",
                probes.nms_inputs(case),
            )
        ),
        evidence=LIVE_ANSWERS if _is_live(recording) else SHIPPED_ANSWERS,
        kernels=images.kernels,
    )


def _is_live(recording: Recording) -> bool:
    """Whether the reference was asked, and the same that ours is asked now."""
    return recording.index.versions.get(probes.VERSION_KEY) == probes.questions_digest()


def _answers(
    recording: Recording,
) -> tuple[dict[str, TensorKey], dict[str, TensorKey], dict[str, np.ndarray]]:
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
    if missing := ANSWER_NAMES - known.keys():
        first = min(missing)
        raise RecordingError(f"{recording.path}: has no answer to {first}; record it again")
    keys = {name: key for name, key in known.items() if name in shipped}
    live = {name: recording.tensor(key) for name, key in known.items() if name not in shipped}
    return keys, shipped, live


def _run_nms(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return our_nms(boxes, scores, np.ones(2, np.float32))


def _probe_heads(dtype: torch.dtype) -> dict[Head, AnyHeadOutput]:
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
    copied = copy.deepcopy(integral)
    copied.project = torch.arange(probes.NUM_BINS, dtype=torch.float32)
    if bins is not None:
        copied.project[: len(bins)] = bins[: probes.NUM_BINS].float()
    return copied


def _decoded(head: Head, integral: Integral, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        return decode.decode(_probe_heads(dtype)[head], copy.deepcopy(integral).to(dtype))


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
        found = measure_difference(
            single[i], reference, noise_between(single[i], double[i]), tolerance
        )
        if not found.ok:
            diagnosis = explain(_probe_heads(torch.float32)[head], single[i])
            at = f" at {list(found.index)}" if found.index else ""
            found_text = found.problem or f"{found.ours:.7g}{at}"
            findings.append(
                Finding(f"probe: {name}", found_text, f"{found.reference:.7g}", diagnosis)
            )
    return findings
