"""The rungs behind the layers: heads and decoding. Boxes are compared before any is dropped."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from picodet.alignment.checks.score_epsilon import ScoreAdjustment
from picodet.alignment.diagnosis.decoding import explain_boxes, explain_scores
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.report.formatting import format_distinct, format_number
from picodet.alignment.result import Difference, Finding, Stage
from picodet.alignment.tolerance import Tolerance, worst
from picodet.config import STRIDES, Head, ModelConfig
from picodet.models.head import AnyHeadOutput, HeadOutput, HeadV2Output
from picodet.models.picodet import PicoDet
from picodet.ops import decode

LEVELS = range(len(STRIDES))
HEAD_OUTPUTS: Mapping[Head, Callable[..., AnyHeadOutput]] = {
    "pico_head": HeadOutput,
    "pico_head_v2": HeadV2Output,
}
# the layers whose outputs these are: one for both parts, or one for each
PREDICTOR = "head.predictors.{}"
PARTS = ("head.predictors.classes{}", "head.alignment.{}", "head.predictors.sides{}")


def make_head_output(head: Head, maps: Sequence[Tensor]) -> AnyHeadOutput:
    """The maps of a head, all in a row, in their places."""
    levels = len(LEVELS)
    return HEAD_OUTPUTS[head](*(tuple(maps[i : i + levels]) for i in range(0, len(maps), levels)))


def head_output_from_layers(
    config: ModelConfig, layer_output: Callable[[str], Tensor | None]
) -> AnyHeadOutput | None:
    """made: what the layer with a path puts out, if that is known.

    None where one is not, or has other channels than the config says.
    """
    classes, reg = len(config.classes), 4 * (config.reg_max + 1)
    if config.head == "pico_head":
        joined_maps = _levels(PREDICTOR, classes + reg, layer_output)
        split = [x.split([classes, reg], dim=1) for x in joined_maps or ()]
        return HeadOutput(*map(tuple, zip(*split, strict=True))) if split else None
    parts = [
        _levels(path, n, layer_output) for path, n in zip(PARTS, (classes, 1, reg), strict=True)
    ]
    known = [part for part in parts if part is not None]
    return HeadV2Output(*known) if len(known) == len(parts) else None


def head_output_by_layer(output: AnyHeadOutput) -> dict[str, Tensor]:
    """What the layers put out that this was put together from, by their paths."""
    if isinstance(output, HeadOutput):
        joined = (torch.cat(pair, dim=1) for pair in zip(*output, strict=True))
        return {PREDICTOR.format(level): x for level, x in enumerate(joined)}
    return {
        path.format(level): x
        for path, part in zip(PARTS, output, strict=True)
        for level, x in enumerate(part)
    }


def to_float64(output: AnyHeadOutput) -> AnyHeadOutput:
    """The same numbers."""
    return type(output)(*(tuple(x.double() for x in part) for part in output))


def _levels(
    path: str, channels: int, layer_output: Callable[[str], Tensor | None]
) -> tuple[Tensor, ...] | None:
    found = [layer_output(path.format(level)) for level in LEVELS]
    known = tuple(x for x in found if x is not None and x.ndim == 4 and x.shape[1] == channels)
    return known if len(known) == len(found) else None


SIGMOID_SCALE = 1.0  # magnitude of the numbers that a probability is computed from
NO_ADJUSTMENT = ScoreAdjustment()


class ExportedHeads(NamedTuple):
    """What an export makes of its heads: scores [1, C, cells] and sides [1, 4 * bins, cells]."""

    scores: tuple[Tensor, ...]
    reg: tuple[Tensor, ...]


def compare_heads(
    runs: Sequence[AnyHeadOutput],
    recorded: ReferenceTensors,
    tolerance: Tolerance,
    adjustment: ScoreAdjustment = NO_ADJUSTMENT,
    exported: ExportedHeads | None = None,
) -> Stage:
    """What the whole model puts out: scores and sides of each level.

    runs: ours, and the same in float64 and with the additions in another order; of an export its
    own heads, and then those three of our model, among which the noise is seen.
    """
    ending = recorded.recording.index.ending
    if not runs:
        return Stage("heads", "not compared", "our model could not be run to its end")
    differences: list[tuple[str, Difference]] = []
    all_scores = [run.scores() for run in runs]
    for level, stride in enumerate(STRIDES):
        scores = [adjustment.adjust_ours(of_run[level].flatten(2)) for of_run in all_scores]
        reg = [run.reg[level].flatten(2) for run in runs]
        if exported:  # our first run is no other than the export's
            scores[0], reg[0] = adjustment.adjust_ours(exported.scores[level]), exported.reg[level]
        noise_start = 1 if exported else 0
        differences += [
            (
                f"scores, stride {stride}",
                recorded.measure_difference(
                    *(
                        scores[0],
                        ending.scores[level],
                        tolerance,
                        scores[noise_start:],
                        SIGMOID_SCALE,
                    ),
                    adjustment.adjust_theirs,
                ),
            ),
            (
                f"sides, stride {stride}",
                recorded.measure_difference(
                    reg[0], ending.sides[level], tolerance, reg[noise_start:]
                ),
            ),
        ]
    findings = tuple(make_finding(name, found) for name, found in differences if not found.ok)
    cells = sum(logits[0, 0].numel() for logits in runs[0].logits)
    classes = runs[0].logits[0].shape[1]
    channels = runs[0].reg[0].shape[1]
    summary = (
        f"{classes} scores, {channels} of sides, of {cells:,} cells; {describe_worst(differences)}"
    )
    return Stage("heads", "differs" if findings else "aligned", summary + adjustment.note, findings)


def reference_heads(recorded: ReferenceTensors, config: ModelConfig) -> AnyHeadOutput | None:
    """What the reference's last layers put out; None where a summary has samples only.

    None, too, where they have other channels than ours, which the layers' rung says.
    """

    def layer_output(path: str) -> Tensor | None:
        call = recorded.calls.get((path, 0))
        key = call.outputs[0] if call and call.outputs else None
        return None if key is None or not recorded.recording.has(key) else recorded.tensor(key)

    return head_output_from_layers(config, layer_output)


def compare_decoding(
    model: PicoDet,
    runs: Sequence[AnyHeadOutput],
    recorded: ReferenceTensors,
    tolerance: Tolerance,
    probe_findings: tuple[Finding, ...],
    evidence: str,
    adjustment: ScoreAdjustment = NO_ADJUSTMENT,
) -> Stage:
    """Our decoding of the reference's heads against its boxes and scores, before NMS."""
    ending = recorded.recording.index.ending
    findings = list(probe_findings)
    summary_parts = [f"probe heads, {evidence}"]
    heads = reference_heads(recorded, model.config)
    if ending.boxes and ending.box_scores and heads is not None:
        boxes, scores = decode_both_precisions(model, heads)
        adjusted_scores = [adjustment.adjust_ours(x) for x in scores]
        differences = [
            (
                "boxes before NMS",
                recorded.measure_difference(boxes[0], ending.boxes, tolerance, boxes),
            ),
            (
                "scores before NMS",
                recorded.measure_difference(
                    *(
                        adjusted_scores[0],
                        ending.box_scores,
                        tolerance,
                        adjusted_scores,
                        SIGMOID_SCALE,
                    ),
                    adjustment.adjust_theirs,
                ),
            ),
        ]
        diagnoses = explain_boxes(heads, boxes[0]), explain_scores(heads, scores[0])
        findings += [
            make_finding(name, found, text)
            for (name, found), text in zip(differences, diagnoses, strict=True)
            if not found.ok
        ]
        text = (
            f"{boxes[0].shape[1]:,} boxes from the reference's heads; {describe_worst(differences)}"
        )
        summary_parts.insert(0, text + adjustment.note)
    if ending.boxes and runs:
        layer_output = [decode_both_precisions(model, run)[0][0] for run in runs]
        end_to_end = recorded.measure_difference(
            layer_output[0], ending.boxes, tolerance, layer_output
        )
        summary_parts.append(f"from ours: {format_number(end_to_end.error)} pixels")
    return Stage(
        "decoding", "differs" if findings else "aligned", "; ".join(summary_parts), tuple(findings)
    )


def decode_both_precisions(
    model: PicoDet, heads: AnyHeadOutput
) -> tuple[list[Tensor], list[Tensor]]:
    """Boxes and scores in the heads' own precision, and in double."""
    integral = copy.deepcopy(model.head.integral)
    with torch.inference_mode():
        single = decode.decode(heads, integral.to(heads.logits[0].dtype))
        double = decode.decode(to_float64(heads), integral.double())
    return [single[0], double[0]], [single[1], double[1]]


def describe_worst(differences: Sequence[tuple[str, Difference]]) -> str:
    """The worst of them, in words."""
    found = worst([found for _, found in differences])
    if found is None:
        return "nothing"
    ratio = format_number(found.error_over_noise)
    return f"at most {format_number(found.error)}, {ratio} times the noise"


def make_finding(name: str, found: Difference, diagnosis: str = "") -> Finding:
    """Where a gap is worst, and the two values there."""
    if found.problem:
        return Finding(name, found.problem, "as in the reference", diagnosis)
    where = f" at {list(found.index)}" if found.index else ""
    ours, theirs = format_distinct(found.ours, found.reference)
    return Finding(name, f"{ours}{where}", theirs, diagnosis)
