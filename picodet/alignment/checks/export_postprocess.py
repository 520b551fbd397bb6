"""The rungs of decoding and NMS for an export that does these itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from picodet.alignment.checks.heads_and_decoding import (
    AS_THEY_ARE,
    OF_SIGMOID,
    OwnHeads,
    closest,
    decoded,
    finding,
    recorded_heads,
)
from picodet.alignment.checks.nms import compare_kept, end_to_end, kept
from picodet.alignment.checks.score_epsilon import Footing
from picodet.alignment.diagnosis.decoding import explain_boxes, explain_scores
from picodet.alignment.recording import probes
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.result import Finding, Rung, Verdict
from picodet.alignment.tolerance import Tolerance, gap, noise
from picodet.models.head import AnyHeadOutput
from picodet.models.picodet import PicoDet

Decode = Callable[[AnyHeadOutput], tuple[Tensor, Tensor]]
Suppress = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Of probes.NMS_CASES. ONNX's NonMaxSuppression knows no limit of the candidates (top_k) and turns
# a box that is inside out (degenerate): no export of the right model passes those.
CASES = ("random", "ties", "thresholds", "dense", "none")


@dataclass(frozen=True)
class OwnEnding:
    """What an export does behind its heads; None where it ends before.

    decode: heads -> boxes [1, A, 4] in pixels of the input and scores [1, C, A]; suppress: those of
    one picture, [A, 4] and [C, A] -> rows [N, 6] of class, score, xyxy in pixels of the picture.
    """

    heads: Callable[[], OwnHeads]
    decode: Decode | None
    suppress: Suppress | None
    adds_epsilon: bool = True


def compare_own_decoding(
    decode: Decode,
    model: PicoDet,
    runs: Sequence[AnyHeadOutput],
    recorded: ReferenceTensors,
    tolerance: Tolerance,
    probe_findings: tuple[Finding, ...],
    footing: Footing = AS_THEY_ARE,
) -> Rung:
    """What it makes of the reference's heads, against the reference's boxes and scores.

    Of its own heads where a summary has none, and against our decoding where the reference ends
    with its heads. `runs`: its own heads first. probe_findings: what is wrong with our decoding.
    """
    ending = recorded.recording.index.ending
    theirs = recorded_heads(recorded, model.config)
    heads = theirs or runs[0]
    made = decode(heads)
    ours = decoded(model, heads)
    if theirs is None or ending.box_scores is None:
        footing = replace(footing, theirs_adds=True)  # our decoding does
    gaps, findings = [], list(probe_findings)
    for i, (name, key, computed_at, explain, view) in enumerate(
        (
            ("boxes before NMS", ending.boxes, 0.0, explain_boxes, AS_THEY_ARE),
            ("scores before NMS", ending.box_scores, OF_SIGMOID, explain_scores, footing),
        )
    ):
        shown, runs_of_ours = view.ours(made[i]), [view.theirs(run) for run in ours[i]]
        if key is None or theirs is None:
            found = gap(shown, runs_of_ours[0], noise(*runs_of_ours), tolerance, computed_at)
        else:
            found = recorded.gap(shown, key, tolerance, runs_of_ours, computed_at, view.theirs)
        gaps.append((name, found))
        if not found.ok:
            findings.append(finding(name, found, explain(heads, made[i])))
    whose = "the reference's" if theirs else "its own"
    against = "the reference's" if theirs and ending.boxes else "our decoding of them"
    summary = f"{made[0].shape[1]:,} boxes by the export from {whose} heads, against {against}"
    verdict: Verdict = "differs" if findings else "aligned"
    return Rung("decoding", verdict, f"{summary}; {closest(gaps)}{footing.note}", tuple(findings))


def compare_own_nms(
    suppress: Suppress,
    decode: Decode,
    runs: Sequence[AnyHeadOutput],
    recorded: ReferenceTensors,
    probe_findings: tuple[Finding, ...],
    evidence: str,
) -> Rung:
    """What it keeps of the reference's boxes, against what the reference keeps.

    Of its own boxes, and against our NMS, where the reference has none; and of the probe boxes,
    against our NMS. probe_findings: what our NMS itself answers otherwise than the `evidence`.
    """
    recording, ending = recorded.recording, recorded.recording.index.ending
    scale_factor = np.array(recording.index.scale_factor, np.float32)
    boxes, scores = own = [tensor[0].numpy() for tensor in decode(runs[0])]
    whose, against = "its own", "ours"
    if ending.boxes and ending.box_scores and recording.has(ending.boxes):
        boxes, scores = (recording.tensor(key)[0] for key in (ending.boxes, ending.box_scores))
        whose = "the reference's"
    expected = kept(boxes, scores, scale_factor)
    if ending.kept and whose != "its own":
        expected, against = recording.tensor(ending.kept), "the reference's"
    findings = list(probe_findings)
    asked = [("boxes", (boxes, scores), expected)]
    for name, question in _questions(*scores.shape):
        asked.append((name, question, kept(*question, scale_factor)))
    for name, question, theirs in asked:
        in_picture = question[0] / np.tile(scale_factor[::-1], 2), question[1]
        findings += compare_kept(suppress(*question), theirs, False, name, in_picture)
    done = f"{len(expected)} boxes kept of {whose} candidates by {against} NMS and by the export's"
    done += f"; probe boxes, against our NMS and {evidence}"
    if ending.kept:
        done += f"; end to end: {end_to_end(suppress(*own), recording.tensor(ending.kept))}"
    return Rung("NMS", "differs" if findings else "aligned", done, tuple(findings))


def _questions(classes: int, cells: int) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """The probes in the form that the export takes: with as many classes and boxes as it has."""
    for case in CASES:
        boxes, scores = probes.nms_inputs(case)
        boxes = np.pad(boxes[:cells], ((0, max(cells - len(boxes), 0)), (0, 0)))
        for first in range(0, len(scores), classes):
            some = scores[first : first + classes, :cells]
            missing = classes - some.shape[0], cells - some.shape[1]
            padded = np.pad(some, [(0, count) for count in missing])
            yield f"probe: {case}", (boxes, padded)
