"""The stages decoding and NMS for an export that does these itself."""

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
from picodet.alignment.checks.nms import compare_kept_boxes, describe_end_to_end, picodet_nms
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

# Of probes.NMS_CASES. ONNX's NonMaxSuppression has no limit of candidates (top_k) and reorders the
# corners of inverted boxes (degenerate): no correct export passes those cases.
NMS_PROBES = ("random", "ties", "thresholds", "dense", "none")


@dataclass(frozen=True)
class ExportedPostprocess:
    """An export's own post-processing; None for steps that it does not have.

    decode: heads -> boxes [1, A, 4] in pixels of the input and scores [1, C, A]; run_nms: those of
    one image, [A, 4] and [C, A] -> rows [N, 6] of class, score, xyxy in pixels of the image.
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
    """An export's decoding of the reference's heads against the reference's boxes and scores.

    Of its own heads where a summary has none, and against picodet's decoding where the reference
    ends with its heads. runs: the export's heads first. probe_findings: of picodet's decoding.
    """
    outputs = recorded.recording.index.network_outputs
    recorded_heads = reference_heads(recorded, model.config)
    heads = recorded_heads or runs[0]
    exported = decode(heads)
    expected = decode_both_precisions(model, heads)
    if recorded_heads is None or outputs.box_scores is None:
        adjustment = replace(adjustment, reference_adds=True)  # as picodet's decoding does
    differences, findings = [], list(probe_findings)
    for i, (name, key, intermediate_scale, explain, adjust) in enumerate(
        (
            ("boxes before NMS", outputs.boxes, 0.0, explain_boxes, NO_ADJUSTMENT),
            ("scores before NMS", outputs.box_scores, SIGMOID_SCALE, explain_scores, adjustment),
        )
    ):
        adjusted = adjust.adjust_candidate(exported[i])
        decoded = [adjust.adjust_reference(run) for run in expected[i]]
        if key is None or recorded_heads is None:
            found = measure_difference(
                adjusted, decoded[0], noise_between(*decoded), tolerance, intermediate_scale
            )
        else:
            found = recorded.measure_difference(
                adjusted, key, tolerance, decoded, intermediate_scale, adjust.adjust_reference
            )
        differences.append((name, found))
        if not found.ok:
            findings.append(make_finding(name, found, explain(heads, exported[i])))
    source = "the reference's" if recorded_heads else "its own"
    compared_with_reference = recorded_heads and outputs.boxes
    against = "the reference's" if compared_with_reference else "picodet's decoding of them"
    summary = f"{exported[0].shape[1]:,} boxes by the export from {source} heads, against {against}"
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
    """An export's NMS of the reference's boxes against the boxes that the reference keeps.

    Of its own boxes and against picodet's NMS where the reference has none; and of the probe boxes,
    against picodet's NMS. probe_findings: picodet's NMS against the `evidence`.
    """
    recording, outputs = recorded.recording, recorded.recording.index.network_outputs
    scale_factor = np.array(recording.index.scale_factor, np.float32)
    boxes, scores = exported = [tensor[0].numpy() for tensor in decode(runs[0])]
    source, against = "its own", "picodet's"
    if outputs.boxes and outputs.box_scores and recording.has(outputs.boxes):
        boxes, scores = (recording.tensor(key)[0] for key in (outputs.boxes, outputs.box_scores))
        source = "the reference's"
    expected = picodet_nms(boxes, scores, scale_factor)
    if outputs.kept and source != "its own":
        expected, against = recording.tensor(outputs.kept), "the reference's"
    findings = list(probe_findings)
    cases = [("boxes", (boxes, scores), expected)]
    for name, candidates in _nms_probes(*scores.shape):
        cases.append((name, candidates, picodet_nms(*candidates, scale_factor)))
    for name, candidates, kept in cases:
        in_image = candidates[0] / np.tile(scale_factor[::-1], 2), candidates[1]
        findings += compare_kept_boxes(run_nms(*candidates), kept, False, name, in_image)
    summary = (
        f"{len(expected)} boxes kept of {source} candidates by {against} NMS and by the export's"
    )
    summary += f"; probe boxes, against picodet's NMS and {evidence}"
    if outputs.kept:
        compared = describe_end_to_end(run_nms(*exported), recording.tensor(outputs.kept))
        summary += f"; end to end: {compared}"
    return Stage("NMS", "differs" if findings else "aligned", summary, tuple(findings))


def _nms_probes(
    classes: int, num_anchors: int
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """The probes in the shapes that the export takes: with its numbers of classes and boxes."""
    for case in NMS_PROBES:
        boxes, scores = probes.nms_inputs(case)
        boxes = np.pad(boxes[:num_anchors], ((0, max(num_anchors - len(boxes), 0)), (0, 0)))
        for first in range(0, len(scores), classes):
            part = scores[first : first + classes, :num_anchors]
            missing = classes - part.shape[0], num_anchors - part.shape[1]
            padded = np.pad(part, [(0, count) for count in missing])
            yield f"probe: {case}", (boxes, padded)
