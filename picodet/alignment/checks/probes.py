"""The model's answers to probes.py against the reference's, or ppdet's shipped with picodet."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.checks.image_probes import compare_image_probes, preprocess_probe
from picodet.alignment.checks.nms import compare_kept_boxes, picodet_nms
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
SHIPPED_ANSWERS = "ppdet's answer that is shipped with picodet"


@dataclass(frozen=True)
class ProbeResults:
    """What differs, by stage; `evidence` says whose answers were expected."""

    preprocessing: tuple[Finding, ...]
    decoding: tuple[Finding, ...]
    nms: tuple[Finding, ...]
    evidence: str
    kernels: str  # how much the resize kernels differ, where they are not the same


def run_probes(
    head: Head,
    integral: Integral,
    recording: Recording,
    tolerance: Tolerance,
    bins: Tensor | None = None,
) -> ProbeResults:
    """Answer the probes with picodet's code and the model's head, and compare.

    integral: the model's, which gets the probes' bins. bins: the model's values where the reference
    has none to compare with; the probes are then decoded with them.
    """
    keys, shipped, expected = _answers(recording)
    integral = _for_probes(integral, bins)
    answers = probes.collect_answers(
        preprocess_probe, lambda head_name: _decode(head_name, integral), _run_nms
    )
    images = compare_image_probes(recording, keys, shipped)
    return ProbeResults(
        preprocessing=images.findings,
        decoding=tuple(_decoding_findings(head, integral, expected, tolerance)),
        nms=tuple(
            finding
            for case in probes.NMS_CASES
            for finding in compare_kept_boxes(
                answers[f"NMS/{case}"],
                expected[f"NMS/{case}"],
                True,
                f"probe: {case}",
                probes.nms_inputs(case),
            )
        ),
        evidence=LIVE_ANSWERS if _is_live(recording) else SHIPPED_ANSWERS,
        kernels=images.kernels,
    )


def _is_live(recording: Recording) -> bool:
    """Whether the reference answered the very probes that are answered here."""
    return recording.index.versions.get(probes.VERSION_KEY) == probes.questions_digest()


def _answers(
    recording: Recording,
) -> tuple[dict[str, TensorKey], dict[str, TensorKey], dict[str, np.ndarray]]:
    """Keys of the preprocessed images, the shipped such keys, and the answers to other probes."""
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
        raise RecordingError(f"{recording.path}: no answer to probe {first}; record it again")
    keys = {name: key for name, key in known.items() if name in shipped}
    live = {name: recording.tensor(key) for name, key in known.items() if name not in shipped}
    return keys, shipped, live


def _run_nms(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return picodet_nms(boxes, scores, np.ones(2, np.float32))


def _probe_heads(dtype: torch.dtype) -> dict[Head, AnyHeadOutput]:
    """The probes' head outputs."""
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
    """A copy with as many bins as the probes have: 0, 1, 2 .., overwritten by `bins`."""
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
    head: Head, integral: Integral, expected: dict[str, np.ndarray], tolerance: Tolerance
) -> list[Finding]:
    single, double = (_decoded(head, integral, t) for t in (torch.float32, torch.float64))
    findings = []
    for i, (name, explain) in enumerate((("boxes", explain_boxes), ("scores", explain_scores))):
        reference = torch.from_numpy(expected[f"{probes.HEAD_PREFIXES[head]}/{name}"])[None]
        found = measure_difference(
            single[i], reference, noise_between(single[i], double[i]), tolerance
        )
        if not found.ok:
            diagnosis = explain(_probe_heads(torch.float32)[head], single[i])
            at = f" at {list(found.index)}" if found.index else ""
            found_text = found.problem or f"{found.model:.7g}{at}"
            findings.append(
                Finding(f"probe: {name}", found_text, f"{found.reference:.7g}", diagnosis)
            )
    return findings
