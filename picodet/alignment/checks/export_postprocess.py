"""The rungs of decoding and NMS for an export that does these itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from picodet.alignment.checks.heads_and_decoding import (
    NO_ADJUSTMENT,
    SIGMOID_SCALE,
    ExportedHeads,
    decode_both_precisions,
    describe_worst,
    make_finding,
    reference_heads,
)
from picodet.alignment.checks.nms import compare_kept_boxes, describe_end_to_end, our_nms
from picodet.alignment.checks.score_epsilon import ScoreAdjustment
from picodet.alignment.diagnosis.decoding import explain_boxes, explain_scores
from picodet.alignment.recording import probes
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.result import Finding, Stage, Verdict
from picodet.alignment.tolerance import Tolerance, measure_difference, noise_between
from picodet.models.head import AnyHeadOutput
from picodet.models.picodet import PicoDet

Decode = Callable[[AnyHeadOutput], tuple[Tensor, Tensor]]
RunNMS = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Of probes.NMS_CASES. ONNX's NonMaxSuppression knows no limit of the candidates (top_k) and turns
# a box that is inside out (degenerate): no export of the right model passes those.
NMS_PROBES = ("random", "ties", "thresholds", "dense", "none")


@dataclass(frozen=True)
class ExportedPostprocess:
    """What an export does behind its heads; None where it ends before.

    decode: heads -> boxes [1, A, 4] in pixels of the input and scores [1, C, A]; suppress: those of
    one picture, [A, 4] and [C, A] -> rows [N, 6] of class, score, xyxy in pixels of the picture.
    """

    heads: Callable[[], ExportedHeads]
    decode: Decode | None
    run_nms: RunNMS | None
    adds_epsilon: bool = True


def compare_exported_decoding(
    decode: Decode,
    model: PicoDet,
    runs: Sequence[AnyHeadOutput],
    recorded: ReferenceTensors,
    tolerance: Tolerance,
    probe_findings: tuple[Finding, ...],
    adjustment: ScoreAdjustment = NO_ADJUSTMENT,
) -> Stage:
    """What it makes of the reference's heads, against the reference's boxes and scores.

    Of its own heads where a summary has none, and against our decoding where the reference ends
    with its heads. `runs`: its own heads first. probe_findings: what is wrong with our decoding.
    """
    ending = recorded.recording.index.ending
    theirs = reference_heads(recorded, model.config)
    heads = theirs or runs[0]
    made = decode(heads)
    ours = decode_both_precisions(model, heads)
    if theirs is None or ending.box_scores is None:
        adjustment = replace(adjustment, theirs_adds=True)  # our decoding does
    differences, findings = [], list(probe_findings)
    for i, (name, key, intermediate_scale, explain, adjust) in enumerate(
        (
            ("boxes before NMS", ending.boxes, 0.0, explain_boxes, NO_ADJUSTMENT),
            ("scores before NMS", ending.box_scores, SIGMOID_SCALE, explain_scores, adjustment),
        )
    ):
        adjusted, runs_of_ours = (
            adjust.adjust_ours(made[i]),
            [adjust.adjust_theirs(run) for run in ours[i]],
        )
        if key is None or theirs is None:
            found = measure_difference(
                adjusted,
                runs_of_ours[0],
                noise_between(*runs_of_ours),
                tolerance,
                intermediate_scale,
            )
        else:
            found = recorded.measure_difference(
                adjusted, key, tolerance, runs_of_ours, intermediate_scale, adjust.adjust_theirs
            )
        differences.append((name, found))
        if not found.ok:
            findings.append(make_finding(name, found, explain(heads, made[i])))
    source = "the reference's" if theirs else "its own"
    against = "the reference's" if theirs and ending.boxes else "our decoding of them"
    summary = f"{made[0].shape[1]:,} boxes by the export from {source} heads, against {against}"
    verdict: Verdict = "differs" if findings else "aligned"
    return Stage(
        "decoding",
        verdict,
        f"{summary}; {describe_worst(differences)}{adjustment.note}",
        tuple(findings),
    )


def compare_exported_nms(
    run_nms: RunNMS,
    decode: Decode,
    runs: Sequence[AnyHeadOutput],
    recorded: ReferenceTensors,
    probe_findings: tuple[Finding, ...],
    evidence: str,
) -> Stage:
    """What it keeps of the reference's boxes, against what the reference keeps.

    Of its own boxes, and against our NMS, where the reference has none; and of the probe boxes,
    against our NMS. probe_findings: what our NMS itself answers otherwise than the `evidence`.
    """
    recording, ending = recorded.recording, recorded.recording.index.ending
    scale_factor = np.array(recording.index.scale_factor, np.float32)
    boxes, scores = exported = [tensor[0].numpy() for tensor in decode(runs[0])]
    source, against = "its own", "ours"
    if ending.boxes and ending.box_scores and recording.has(ending.boxes):
        boxes, scores = (recording.tensor(key)[0] for key in (ending.boxes, ending.box_scores))
        source = "the reference's"
    expected = our_nms(boxes, scores, scale_factor)
    if ending.kept and source != "its own":
        expected, against = recording.tensor(ending.kept), "the reference's"
    findings = list(probe_findings)
    cases = [("boxes", (boxes, scores), expected)]
    for name, candidates in _nms_probes(*scores.shape):
        cases.append((name, candidates, our_nms(*candidates, scale_factor)))
    for name, candidates, theirs in cases:
        in_picture = candidates[0] / np.tile(scale_factor[::-1], 2), candidates[1]
        findings += compare_kept_boxes(run_nms(*candidates), theirs, False, name, in_picture)
    summary = (
        f"{len(expected)} boxes kept of {source} candidates by {against} NMS and by the export's"
    )
    summary += f"; probe boxes, against our NMS and {evidence}"
    if ending.kept:
        compared = describe_end_to_end(run_nms(*exported), recording.tensor(ending.kept))
        summary += f"; end to end: {compared}"
    return Stage("NMS", "differs" if findings else "aligned", summary, tuple(findings))


def _nms_probes(classes: int, cells: int) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """The probes in the form that the export takes: with as many classes and boxes as it has."""
    for case in NMS_PROBES:
        boxes, scores = probes.nms_inputs(case)
        boxes = np.pad(boxes[:cells], ((0, max(cells - len(boxes), 0)), (0, 0)))
        for first in range(0, len(scores), classes):
            some = scores[first : first + classes, :cells]
            missing = classes - some.shape[0], cells - some.shape[1]
            padded = np.pad(some, [(0, count) for count in missing])
            yield f"probe: {case}", (boxes, padded)
