"""The rungs behind the layers: heads and decoding. Boxes are compared before any is dropped."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from picodet import postprocess
from picodet.alignment.comparison import Finding, Gap, Rung
from picodet.alignment.decoding_diagnosis import explain_boxes, explain_scores
from picodet.alignment.gap import Tolerance, worst
from picodet.alignment.recorded import Recorded
from picodet.alignment.wording import number
from picodet.config import STRIDES
from picodet.models.head import HeadOutput
from picodet.models.picodet import PicoDet

PREDICTOR = "head.predictors.{}"


def compare_heads(runs: Sequence[HeadOutput], recorded: Recorded, tolerance: Tolerance) -> Rung:
    """What the whole model puts out: scores and sides of each level.

    runs: ours, and the same in float64 and with the additions in another order.
    """
    ending = recorded.recording.index.ending
    if not runs:
        return Rung("heads", "not compared", "our model could not be run to its end")
    gaps: list[tuple[str, Gap]] = []
    for level, stride in enumerate(STRIDES):
        scores = [run.logits[level].flatten(2).sigmoid() for run in runs]
        sides = [run.sides[level].flatten(2) for run in runs]
        for name, made, key in (
            (f"scores, stride {stride}", scores, ending.scores[level]),
            (f"sides, stride {stride}", sides, ending.sides[level]),
        ):
            gaps.append((name, recorded.gap(made, key, tolerance)))
    findings = tuple(_finding(name, found) for name, found in gaps if not found.ok)
    cells = sum(logits[0, 0].numel() for logits in runs[0].logits)
    classes = runs[0].logits[0].shape[1]
    channels = runs[0].sides[0].shape[1]
    summary = f"{classes} scores, {channels} of sides, of {cells:,} cells; {_closest(gaps)}"
    return Rung("heads", "differs" if findings else "aligned", summary, findings)


def recorded_heads(recorded: Recorded, num_classes: int) -> HeadOutput | None:
    """What the reference's predictors put out; None where a summary has samples only."""
    logits, sides = [], []
    for level in range(len(STRIDES)):
        call = recorded.calls.get((PREDICTOR.format(level), 0))
        if call is None or call.outputs[0] is None or not recorded.recording.has(call.outputs[0]):
            return None
        output = recorded.tensor(call.outputs[0])
        logits.append(output[:, :num_classes])
        sides.append(output[:, num_classes:])
    return HeadOutput(tuple(logits), tuple(sides))


def compare_decoding(
    model: PicoDet,
    runs: Sequence[HeadOutput],
    recorded: Recorded,
    tolerance: Tolerance,
    probe_findings: tuple[Finding, ...],
    evidence: str,
) -> Rung:
    """Our decoding of the reference's heads against its boxes and scores, before NMS."""
    ending = recorded.recording.index.ending
    findings = list(probe_findings)
    done = [f"probe heads, {evidence}"]
    heads = recorded_heads(recorded, len(model.config.classes))
    if ending.boxes and ending.box_scores and heads is not None:
        boxes, scores = _decoded(model, heads)
        gaps = [
            ("boxes before NMS", recorded.gap(boxes, ending.boxes, tolerance)),
            ("scores before NMS", recorded.gap(scores, ending.box_scores, tolerance)),
        ]
        why = explain_boxes(heads, boxes[0]), explain_scores(heads, scores[0])
        findings += [
            _finding(name, found, text)
            for (name, found), text in zip(gaps, why, strict=True)
            if not found.ok
        ]
        done.insert(0, f"{boxes[0].shape[1]:,} boxes from the reference's heads; {_closest(gaps)}")
    if ending.boxes and runs:
        made = [_decoded(model, run)[0][0] for run in runs]
        along = recorded.gap(made, ending.boxes, tolerance)
        done.append(f"from ours: {number(along.error)} pixels")
    return Rung("decoding", "differs" if findings else "aligned", "; ".join(done), tuple(findings))


def _decoded(model: PicoDet, heads: HeadOutput) -> tuple[list[Tensor], list[Tensor]]:
    """Boxes and scores in the heads' own precision, and in double."""
    integral = copy.deepcopy(model.head.integral)
    with torch.inference_mode():
        single = postprocess.decode(heads, integral.to(heads.logits[0].dtype))
        wide = HeadOutput(*(tuple(x.double() for x in part) for part in heads))
        double = postprocess.decode(wide, integral.double())
    return [single[0], double[0]], [single[1], double[1]]


def _closest(gaps: Sequence[tuple[str, Gap]]) -> str:
    found = worst([found for _, found in gaps])
    if found is None:
        return "nothing"
    return f"at most {number(found.error)}, {number(found.over_floor)} times the noise"


def _finding(name: str, found: Gap, diagnosis: str = "") -> Finding:
    if found.problem:
        return Finding(name, found.problem, "as in the reference", diagnosis)
    where = f" at {list(found.index)}" if found.index else ""
    return Finding(name, f"{found.ours:.7g}{where}", f"{found.reference:.7g}", diagnosis)
