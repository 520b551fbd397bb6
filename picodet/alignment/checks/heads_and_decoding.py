"""The stages heads and decoding. Boxes are compared before NMS."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from picodet.alignment.checks.score_epsilon import ScoreAdjustment
from picodet.alignment.diagnosis.decoding import explain_boxes, explain_scores
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.report.formatting import format_distinct, format_number
from picodet.alignment.result import Difference, Finding, Stage, worst
from picodet.alignment.tolerance import Tolerance
from picodet.config import STRIDES, Head, ModelConfig
from picodet.models.head import AnyHeadOutput, HeadOutput, HeadV2Output
from picodet.models.picodet import PicoDet
from picodet.ops import decode

LEVELS = range(len(STRIDES))
HEAD_OUTPUTS: Mapping[Head, Callable[..., AnyHeadOutput]] = {
    "pico_head": HeadOutput,
    "pico_head_v2": HeadV2Output,
}
# paths of the layers with these outputs: one layer for scores and reg, or one for each part
PREDICTOR = "head.predictors.{}"
PARTS = ("head.predictors.classes{}", "head.alignment.{}", "head.predictors.reg{}")


def make_head_output(head: Head, maps: Sequence[Tensor]) -> AnyHeadOutput:
    """A head's output from its maps, level by level of one part after the other."""
    levels = len(LEVELS)
    return HEAD_OUTPUTS[head](*(tuple(maps[i : i + levels]) for i in range(0, len(maps), levels)))


def head_output_from_layers(
    config: ModelConfig, layer_output: Callable[[str], Tensor | None]
) -> AnyHeadOutput | None:
    """A head's output from its layers' outputs. layer_output: of the layer with a path, if known.

    None where one is unknown, or has other channels than the config.
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
    """The outputs of the layers that a head's output was made from, by their paths."""
    if isinstance(output, HeadOutput):
        joined = (torch.cat(pair, dim=1) for pair in zip(*output, strict=True))
        return {PREDICTOR.format(level): x for level, x in enumerate(joined)}
    return {
        path.format(level): x
        for path, part in zip(PARTS, output, strict=True)
        for level, x in enumerate(part)
    }


def to_float64(output: AnyHeadOutput) -> AnyHeadOutput:
    """The outputs in float64."""
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
    """An export's head outputs by level: scores [1, C, A_l] and reg logits [1, 4 * bins, A_l]."""

    scores: tuple[Tensor, ...]
    reg: tuple[Tensor, ...]


def compare_heads(
    runs: Sequence[AnyHeadOutput],
    recorded: ReferenceTensors,
    tolerance: Tolerance,
    adjustment: ScoreAdjustment = NO_ADJUSTMENT,
    exported: ExportedHeads | None = None,
) -> Stage:
    """Compare the scores and the regression logits (reg) of each level.

    runs: head outputs of the model, and of runs of it that show the noise; `exported` is compared
    instead of the first of them.
    """
    outputs = recorded.recording.index.network_outputs
    if not runs:
        return Stage("heads", "not compared", "the model's forward pass failed")
    differences: list[tuple[str, Difference]] = []
    all_scores = [run.scores() for run in runs]
    for level, stride in enumerate(STRIDES):
        scores = [adjustment.adjust_candidate(of_run[level].flatten(2)) for of_run in all_scores]
        reg = [run.reg[level].flatten(2) for run in runs]
        if exported:  # the first run is the export's too
            scores[0], reg[0] = (
                adjustment.adjust_candidate(exported.scores[level]),
                exported.reg[level],
            )
        noise_start = 1 if exported else 0
        differences += [
            (
                f"scores, stride {stride}",
                recorded.measure_difference(
                    *(
                        scores[0],
                        outputs.scores[level],
                        tolerance,
                        scores[noise_start:],
                        SIGMOID_SCALE,
                    ),
                    adjustment.adjust_reference,
                ),
            ),
            (
                f"reg, stride {stride}",
                recorded.measure_difference(
                    reg[0], outputs.reg[level], tolerance, reg[noise_start:]
                ),
            ),
        ]
    findings = tuple(make_finding(name, found) for name, found in differences if not found.ok)
    num_anchors = sum(logits[0, 0].numel() for logits in runs[0].logits)
    classes = runs[0].logits[0].shape[1]
    channels = runs[0].reg[0].shape[1]
    summary = (
        f"{classes} scores and {channels} reg channels of {num_anchors:,} anchor points; "
        f"{describe_worst(differences)}"
    )
    return Stage("heads", "differs" if findings else "aligned", summary + adjustment.note, findings)


def reference_heads(recorded: ReferenceTensors, config: ModelConfig) -> AnyHeadOutput | None:
    """The reference's head output; None where a summary has samples only.

    None, too, where it has other channels than the model's, which the layers stage reports.
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
    """picodet's decoding of the reference's heads against its boxes and scores, before NMS."""
    outputs = recorded.recording.index.network_outputs
    findings = list(probe_findings)
    summary_parts = [f"probe heads, {evidence}"]
    heads = reference_heads(recorded, model.config)
    if outputs.boxes and outputs.box_scores and heads is not None:
        boxes, scores = decode_both_precisions(model, heads)
        adjusted_scores = [adjustment.adjust_candidate(x) for x in scores]
        differences = [
            (
                "boxes before NMS",
                recorded.measure_difference(boxes[0], outputs.boxes, tolerance, boxes),
            ),
            (
                "scores before NMS",
                recorded.measure_difference(
                    *(
                        adjusted_scores[0],
                        outputs.box_scores,
                        tolerance,
                        adjusted_scores,
                        SIGMOID_SCALE,
                    ),
                    adjustment.adjust_reference,
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
    if outputs.boxes and runs:
        decoded = [decode_both_precisions(model, run)[0][0] for run in runs]
        end_to_end = recorded.measure_difference(decoded[0], outputs.boxes, tolerance, decoded)
        summary_parts.append(
            f"from the model's heads: at most {format_number(end_to_end.error)} pixels apart"
        )
    return Stage(
        "decoding", "differs" if findings else "aligned", "; ".join(summary_parts), tuple(findings)
    )


def decode_both_precisions(
    model: PicoDet, heads: AnyHeadOutput
) -> tuple[list[Tensor], list[Tensor]]:
    """Boxes and scores, each in the heads' own precision and in float64."""
    integral = copy.deepcopy(model.head.integral)
    with torch.inference_mode():
        single = decode.decode(heads, integral.to(heads.logits[0].dtype))
        double = decode.decode(to_float64(heads), integral.double())
    return [single[0], double[0]], [single[1], double[1]]


def describe_worst(differences: Sequence[tuple[str, Difference]]) -> str:
    """The worst of named differences, in words."""
    found = worst(found for _, found in differences)
    if found is None:
        return "nothing"
    ratio = format_number(found.error_over_noise)
    return f"at most {format_number(found.error)}, {ratio} times the noise"


def make_finding(name: str, found: Difference, diagnosis: str = "") -> Finding:
    """A difference as a finding: the two values where it is greatest."""
    if found.problem:
        return Finding(name, found.problem, "as in the reference", diagnosis)
    where = f" at {list(found.index)}" if found.index else ""
    value, expected = format_distinct(found.model, found.reference)
    return Finding(name, f"{value}{where}", expected, diagnosis)
