"""The rungs behind the layers: heads and decoding. Boxes are compared before any is dropped."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from picodet import decoding
from picodet.alignment.comparison import Finding, Gap, Rung
from picodet.alignment.decoding_diagnosis import explain_boxes, explain_scores
from picodet.alignment.gap import Tolerance, worst
from picodet.alignment.recorded import Recorded
from picodet.alignment.wording import number
from picodet.config import STRIDES, ModelConfig
from picodet.models.head import HeadOutput
from picodet.models.picodet import PicoDet

PREDICTOR = "head.predictors.{}"
OF_SIGMOID = 1.0  # magnitude of the numbers that a probability is computed from


class OwnHeads(NamedTuple):
    """What an export makes of its heads: scores [1, C, cells] and sides [1, 4 * bins, cells]."""

    scores: tuple[Tensor, ...]
    sides: tuple[Tensor, ...]


def compare_heads(
    runs: Sequence[HeadOutput],
    recorded: Recorded,
    tolerance: Tolerance,
    own: OwnHeads | None = None,
) -> Rung:
    """What the whole model puts out: scores and sides of each level.

    runs: ours, and the same in float64 and with the additions in another order; of an export its
    own heads, and then those three of our model, among which the noise is seen.
    """
    ending = recorded.recording.index.ending
    if not runs:
        return Rung("heads", "not compared", "our model could not be run to its end")
    gaps: list[tuple[str, Gap]] = []
    for level, stride in enumerate(STRIDES):
        scores = [run.logits[level].flatten(2).sigmoid() for run in runs]
        sides = [run.sides[level].flatten(2) for run in runs]
        made = (own.scores[level], own.sides[level]) if own else (scores[0], sides[0])
        for name, of_model, equal, key, at in (
            ("scores", made[0], scores, ending.scores[level], OF_SIGMOID),
            ("sides", made[1], sides, ending.sides[level], 0.0),
        ):
            beside = equal[1:] if own else equal
            found = recorded.gap(of_model, key, tolerance, beside, at)
            gaps.append((f"{name}, stride {stride}", found))
    findings = tuple(finding(name, found) for name, found in gaps if not found.ok)
    cells = sum(logits[0, 0].numel() for logits in runs[0].logits)
    classes = runs[0].logits[0].shape[1]
    channels = runs[0].sides[0].shape[1]
    summary = f"{classes} scores, {channels} of sides, of {cells:,} cells; {closest(gaps)}"
    return Rung("heads", "differs" if findings else "aligned", summary, findings)


def recorded_heads(recorded: Recorded, config: ModelConfig) -> HeadOutput | None:
    """What the reference's predictors put out; None where a summary has samples only.

    None, too, where they have other channels than ours, which the layers' rung says.
    """
    num_classes = len(config.classes)
    logits, sides = [], []
    for level in range(len(STRIDES)):
        call = recorded.calls.get((PREDICTOR.format(level), 0))
        if call is None or call.outputs[0] is None or not recorded.recording.has(call.outputs[0]):
            return None
        output = recorded.tensor(call.outputs[0])
        if output.shape[1] != num_classes + 4 * (config.reg_max + 1):
            return None
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
    heads = recorded_heads(recorded, model.config)
    if ending.boxes and ending.box_scores and heads is not None:
        boxes, scores = decoded(model, heads)
        gaps = [
            ("boxes before NMS", recorded.gap(boxes[0], ending.boxes, tolerance, boxes)),
            (
                "scores before NMS",
                recorded.gap(scores[0], ending.box_scores, tolerance, scores, OF_SIGMOID),
            ),
        ]
        why = explain_boxes(heads, boxes[0]), explain_scores(heads, scores[0])
        findings += [
            finding(name, found, text)
            for (name, found), text in zip(gaps, why, strict=True)
            if not found.ok
        ]
        done.insert(0, f"{boxes[0].shape[1]:,} boxes from the reference's heads; {closest(gaps)}")
    if ending.boxes and runs:
        made = [decoded(model, run)[0][0] for run in runs]
        along = recorded.gap(made[0], ending.boxes, tolerance, made)
        done.append(f"from ours: {number(along.error)} pixels")
    return Rung("decoding", "differs" if findings else "aligned", "; ".join(done), tuple(findings))


def decoded(model: PicoDet, heads: HeadOutput) -> tuple[list[Tensor], list[Tensor]]:
    """Boxes and scores in the heads' own precision, and in double."""
    integral = copy.deepcopy(model.head.integral)
    with torch.inference_mode():
        single = decoding.decode(heads, integral.to(heads.logits[0].dtype))
        wide = HeadOutput(*(tuple(x.double() for x in part) for part in heads))
        double = decoding.decode(wide, integral.double())
    return [single[0], double[0]], [single[1], double[1]]


def closest(gaps: Sequence[tuple[str, Gap]]) -> str:
    """The worst of them, in words."""
    found = worst([found for _, found in gaps])
    if found is None:
        return "nothing"
    return f"at most {number(found.error)}, {number(found.over_floor)} times the noise"


def finding(name: str, found: Gap, diagnosis: str = "") -> Finding:
    """Where a gap is worst, and the two values there."""
    if found.problem:
        return Finding(name, found.problem, "as in the reference", diagnosis)
    where = f" at {list(found.index)}" if found.index else ""
    return Finding(name, f"{found.ours:.7g}{where}", f"{found.reference:.7g}", diagnosis)
