"""The rungs behind the layers: heads and decoding. Boxes are compared before any is dropped."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from picodet.alignment.checks.score_epsilon import Footing
from picodet.alignment.diagnosis.decoding import explain_boxes, explain_scores
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.report.formatting import apart, number
from picodet.alignment.result import Finding, Gap, Rung
from picodet.alignment.tolerance import Tolerance, worst
from picodet.config import STRIDES, Head, ModelConfig
from picodet.models.head import AnyHeadOutput, HeadOutput, HeadV2Output
from picodet.models.picodet import PicoDet
from picodet.ops import decode

LEVELS = range(len(STRIDES))
OUTPUTS: Mapping[Head, Callable[..., AnyHeadOutput]] = {
    "pico_head": HeadOutput,
    "pico_head_v2": HeadV2Output,
}
# the layers whose outputs these are: one for both parts, or one for each
PREDICTOR = "head.predictors.{}"
PARTS = ("head.predictors.classes{}", "head.alignment.{}", "head.predictors.sides{}")


def head_output(head: Head, maps: Sequence[Tensor]) -> AnyHeadOutput:
    """The maps of a head, all in a row, in their places."""
    levels = len(LEVELS)
    return OUTPUTS[head](*(tuple(maps[i : i + levels]) for i in range(0, len(maps), levels)))


def from_layers(config: ModelConfig, made: Callable[[str], Tensor | None]) -> AnyHeadOutput | None:
    """made: what the layer with a path puts out, if that is known.

    None where one is not, or has other channels than the config says.
    """
    classes, sides = len(config.classes), 4 * (config.reg_max + 1)
    if config.head == "pico_head":
        whole = _levels(PREDICTOR, classes + sides, made)
        split = [x.split([classes, sides], dim=1) for x in whole or ()]
        return HeadOutput(*map(tuple, zip(*split, strict=True))) if split else None
    parts = [_levels(path, n, made) for path, n in zip(PARTS, (classes, 1, sides), strict=True)]
    known = [part for part in parts if part is not None]
    return HeadV2Output(*known) if len(known) == len(parts) else None


def by_layers(output: AnyHeadOutput) -> dict[str, Tensor]:
    """What the layers put out that this was put together from, by their paths."""
    if isinstance(output, HeadOutput):
        joined = (torch.cat(pair, dim=1) for pair in zip(*output, strict=True))
        return {PREDICTOR.format(level): x for level, x in enumerate(joined)}
    return {
        path.format(level): x
        for path, part in zip(PARTS, output, strict=True)
        for level, x in enumerate(part)
    }


def in_double(output: AnyHeadOutput) -> AnyHeadOutput:
    """The same numbers."""
    return type(output)(*(tuple(x.double() for x in part) for part in output))


def _levels(
    path: str, channels: int, made: Callable[[str], Tensor | None]
) -> tuple[Tensor, ...] | None:
    found = [made(path.format(level)) for level in LEVELS]
    known = tuple(x for x in found if x is not None and x.ndim == 4 and x.shape[1] == channels)
    return known if len(known) == len(found) else None


OF_SIGMOID = 1.0  # magnitude of the numbers that a probability is computed from
AS_THEY_ARE = Footing()


class OwnHeads(NamedTuple):
    """What an export makes of its heads: scores [1, C, cells] and sides [1, 4 * bins, cells]."""

    scores: tuple[Tensor, ...]
    sides: tuple[Tensor, ...]


def compare_heads(
    runs: Sequence[AnyHeadOutput],
    recorded: ReferenceTensors,
    tolerance: Tolerance,
    footing: Footing = AS_THEY_ARE,
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
    all_scores = [run.scores() for run in runs]
    for level, stride in enumerate(STRIDES):
        scores = [footing.ours(of_run[level].flatten(2)) for of_run in all_scores]
        sides = [run.reg[level].flatten(2) for run in runs]
        if own:  # our first run is no other than the export's
            scores[0], sides[0] = footing.ours(own.scores[level]), own.sides[level]
        beside = 1 if own else 0
        gaps += [
            (
                f"scores, stride {stride}",
                recorded.gap(
                    *(scores[0], ending.scores[level], tolerance, scores[beside:], OF_SIGMOID),
                    footing.theirs,
                ),
            ),
            (
                f"sides, stride {stride}",
                recorded.gap(sides[0], ending.sides[level], tolerance, sides[beside:]),
            ),
        ]
    findings = tuple(finding(name, found) for name, found in gaps if not found.ok)
    cells = sum(logits[0, 0].numel() for logits in runs[0].logits)
    classes = runs[0].logits[0].shape[1]
    channels = runs[0].reg[0].shape[1]
    summary = f"{classes} scores, {channels} of sides, of {cells:,} cells; {closest(gaps)}"
    return Rung("heads", "differs" if findings else "aligned", summary + footing.note, findings)


def recorded_heads(recorded: ReferenceTensors, config: ModelConfig) -> AnyHeadOutput | None:
    """What the reference's last layers put out; None where a summary has samples only.

    None, too, where they have other channels than ours, which the layers' rung says.
    """

    def made(path: str) -> Tensor | None:
        call = recorded.calls.get((path, 0))
        key = call.outputs[0] if call and call.outputs else None
        return None if key is None or not recorded.recording.has(key) else recorded.tensor(key)

    return from_layers(config, made)


def compare_decoding(
    model: PicoDet,
    runs: Sequence[AnyHeadOutput],
    recorded: ReferenceTensors,
    tolerance: Tolerance,
    probe_findings: tuple[Finding, ...],
    evidence: str,
    footing: Footing = AS_THEY_ARE,
) -> Rung:
    """Our decoding of the reference's heads against its boxes and scores, before NMS."""
    ending = recorded.recording.index.ending
    findings = list(probe_findings)
    done = [f"probe heads, {evidence}"]
    heads = recorded_heads(recorded, model.config)
    if ending.boxes and ending.box_scores and heads is not None:
        boxes, scores = decoded(model, heads)
        shown = [footing.ours(x) for x in scores]
        gaps = [
            ("boxes before NMS", recorded.gap(boxes[0], ending.boxes, tolerance, boxes)),
            (
                "scores before NMS",
                recorded.gap(
                    *(shown[0], ending.box_scores, tolerance, shown, OF_SIGMOID), footing.theirs
                ),
            ),
        ]
        why = explain_boxes(heads, boxes[0]), explain_scores(heads, scores[0])
        findings += [
            finding(name, found, text)
            for (name, found), text in zip(gaps, why, strict=True)
            if not found.ok
        ]
        text = f"{boxes[0].shape[1]:,} boxes from the reference's heads; {closest(gaps)}"
        done.insert(0, text + footing.note)
    if ending.boxes and runs:
        made = [decoded(model, run)[0][0] for run in runs]
        along = recorded.gap(made[0], ending.boxes, tolerance, made)
        done.append(f"from ours: {number(along.error)} pixels")
    return Rung("decoding", "differs" if findings else "aligned", "; ".join(done), tuple(findings))


def decoded(model: PicoDet, heads: AnyHeadOutput) -> tuple[list[Tensor], list[Tensor]]:
    """Boxes and scores in the heads' own precision, and in double."""
    integral = copy.deepcopy(model.head.integral)
    with torch.inference_mode():
        single = decode.decode(heads, integral.to(heads.logits[0].dtype))
        double = decode.decode(in_double(heads), integral.double())
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
    ours, theirs = apart(found.ours, found.reference)
    return Finding(name, f"{ours}{where}", theirs, diagnosis)
