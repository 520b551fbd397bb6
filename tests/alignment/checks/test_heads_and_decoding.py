"""Heads, decoding and NMS of a model, recorded, and then changed in one way each."""

import copy
from dataclasses import replace

import cv2
import numpy as np
import own_recording
import pytest
import torch
from tracing import SMALL

from picodet.alignment.checks import heads_and_decoding
from picodet.alignment.checks.heads_and_decoding import (
    compare_decoding,
    compare_heads,
    head_output_by_layer,
    head_output_from_layers,
    make_head_output,
    reference_heads,
    to_float64,
)
from picodet.alignment.checks.nms import compare_nms
from picodet.alignment.pairing.by_name import pair_by_name
from picodet.alignment.recording.reader import Recording
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.result import Finding
from picodet.alignment.tolerance import Tolerance
from picodet.models.head import HeadOutput, HeadV2Output
from picodet.ops import decode, postprocess
from picodet.ops.nms import multiclass_nms
from picodet.zoo.architectures import XS_LCNET

NOISE = Tolerance(30.0)
EVIDENCE = "somebody's answer"


def open_reference(path):
    recording = Recording(path)
    return recording, ReferenceTensors(
        recording, pair_by_name(recording.index, own_recording.table())
    )


@pytest.fixture(scope="module")
def recorded(reference):
    recording, recorded = open_reference(reference)
    with recording:
        yield recorded


@pytest.fixture(scope="module")
def sampled(summary):
    recording, recorded = open_reference(summary)
    with recording:
        yield recorded


def runs(model):
    """Head outputs of the model, in float32 and in float64."""
    images = torch.from_numpy(own_recording.random_image())
    with torch.inference_mode():
        return [model(images), copy.deepcopy(model).double()(images.double())]


@pytest.mark.slow
def test_the_models_own_heads_are_aligned(model, recorded):
    stage = compare_heads(runs(model), recorded, NOISE)
    assert (stage.name, stage.verdict, stage.findings) == ("heads", "aligned", ())
    assert (
        stage.summary
        == "3 scores and 32 reg channels of 85 anchor points; at most 0, 0 times the noise"
    )


def test_each_head_can_fail(model, recorded):
    (single, _), levels = runs(model), zip((8, 16, 32, 64), range(4), strict=True)
    for stride, level in levels:
        for name, part in (("scores", single.logits), ("reg", single.reg)):
            wrong = [*part]
            wrong[level] = part[level] + 0.5
            changed = {"logits": wrong} if name == "scores" else {"reg": wrong}
            stage = compare_heads([single._replace(**changed)], recorded, NOISE)
            assert stage.verdict == "differs"
            assert [finding.name for finding in stage.findings] == [f"{name}, stride {stride}"]


def test_a_finding_has_both_values_and_the_index(model, recorded):
    model.head.predictors[3].bias.data[10] += 0.5  # a channel of reg
    (finding,) = compare_heads(runs(model), recorded, NOISE).findings
    value, at = finding.found.split(" at ")
    assert at == "[0, 7, 0]"
    assert float(value) == pytest.approx(float(finding.expected) + 0.5, abs=1e-5)


def test_other_classes(recorded):
    config = replace(own_recording.CONFIG, classes=("a", "b"))
    stage = compare_heads(runs(own_recording.pristine(config)), recorded, NOISE)
    problems = [finding.found for finding in stage.findings if finding.name.startswith("scores")]
    assert problems[0] == "shape [1, 2, 64], the reference's is [1, 3, 64]"


def test_a_model_whose_forward_failed_is_not_compared(recorded):
    stage = compare_heads([], recorded, NOISE)
    assert stage.verdict == "not compared"


@pytest.mark.slow
def test_heads_against_a_summary(model, sampled):
    assert compare_heads(runs(model), sampled, NOISE).verdict == "aligned"
    model.head.predictors[3].bias.data += 0.5
    names = [finding.name for finding in compare_heads(runs(model), sampled, NOISE).findings]
    assert names == ["scores, stride 64", "reg, stride 64"]


def test_the_references_heads_are_the_outputs_of_its_predictors(model, recorded):
    heads = reference_heads(recorded, model.config)
    with torch.inference_mode():
        output = model(torch.from_numpy(own_recording.random_image()))
    for part, expected in zip(output.logits + output.reg, heads.logits + heads.reg, strict=True):
        assert torch.equal(part, expected)


def test_a_summary_has_no_heads_to_decode(model, sampled):
    assert reference_heads(sampled, model.config) is None
    stage = compare_decoding(model, runs(model), sampled, NOISE, (), EVIDENCE)
    assert stage.verdict == "aligned"
    assert (
        stage.summary == f"probe heads, {EVIDENCE}; from the model's heads: at most 0 pixels apart"
    )


def test_the_models_own_decoding_is_aligned(model, recorded):
    stage = compare_decoding(model, runs(model), recorded, NOISE, (), EVIDENCE)
    assert (stage.name, stage.verdict, stage.findings) == ("decoding", "aligned", ())
    assert stage.summary == (
        "85 boxes from the reference's heads; at most 0, 0 times the noise; "
        f"probe heads, {EVIDENCE}; from the model's heads: at most 0 pixels apart"
    )


def at_the_corner(output, integral):
    boxes, scores = right_decode(output, integral)
    strides = torch.cat(
        [
            torch.full((x[0, 0].numel(), 1), stride)
            for x, stride in zip(output.logits, (8, 16, 32, 64), strict=True)
        ]
    )
    return boxes - strides / 2, scores


right_decode = decode.decode


@pytest.mark.parametrize(
    ("wrong", "name", "text"),
    [
        (at_the_corner, "boxes before NMS", "anchor points are at the corners of cells; "),
        (
            lambda *args: (right_decode(*args)[0], right_decode(*args)[1].sqrt()),
            "scores before NMS",
            "the square root of the scores is taken",
        ),
        (
            lambda *args: (right_decode(*args)[0] + 1, right_decode(*args)[1]),
            "boxes before NMS",
            "no known cause reproduces the difference",
        ),
    ],
)
def test_a_wrong_decoding(model, recorded, monkeypatch, wrong, name, text):
    monkeypatch.setattr(heads_and_decoding.decode, "decode", wrong)
    stage = compare_decoding(model, (), recorded, NOISE, (), EVIDENCE)
    (finding,) = stage.findings
    assert (stage.verdict, finding.name) == ("differs", name)
    assert finding.diagnosis.startswith(text)


def test_bins_that_are_wrong_show(model, recorded):
    model.head.integral.project[7] = 6.5
    (finding,) = compare_decoding(model, (), recorded, NOISE, (), EVIDENCE).findings
    assert finding.name == "boxes before NMS"


def test_wrong_heads_do_not_affect_the_decoding_stage(model, recorded):
    """The reference's heads are decoded."""
    model.head.predictors[0].bias.data += 0.5
    stage = compare_decoding(model, runs(model), recorded, NOISE, (), EVIDENCE)
    assert stage.verdict == "aligned"
    pixels = float(
        stage.summary.split("from the model's heads: at most ")[1].removesuffix(" pixels apart")
    )
    assert pixels < 1e-3  # the same shift of all bins changes no softmax


PROBE_FINDINGS = (Finding("probe: boxes", "1", "2"),)


def test_a_probe_that_failed_fails_the_stage(model, recorded):
    stage = compare_decoding(model, (), recorded, NOISE, PROBE_FINDINGS, EVIDENCE)
    assert (stage.verdict, stage.findings) == ("differs", PROBE_FINDINGS)
    stage = compare_nms(model, [], recorded, PROBE_FINDINGS, EVIDENCE)
    assert (stage.verdict, stage.findings) == ("differs", PROBE_FINDINGS)


def test_the_models_own_nms_is_aligned(model, recorded):
    stage = compare_nms(model, runs(model), recorded, (), EVIDENCE)
    assert (stage.name, stage.verdict, stage.findings) == ("NMS", "aligned", ())
    count = len(recorded.recording.tensor(recorded.recording.index.network_outputs.kept))
    assert stage.summary == (
        f"{count} boxes kept of the reference's candidates; probe boxes, {EVIDENCE}; "
        f"end to end: {count} of {count} boxes, scores within 0, coordinates within 0 pixels"
    )


def test_a_wrong_nms(model, recorded, monkeypatch):
    def wrong(boxes, scores, threshold, *_):
        return multiclass_nms(boxes, scores, threshold, iou_threshold=0.3)

    monkeypatch.setattr(postprocess, "multiclass_nms", wrong)
    (finding,) = compare_nms(model, [], recorded, (), EVIDENCE).findings
    assert finding.name == "boxes"
    assert finding.diagnosis.startswith("IoU threshold 0.")


def test_wrong_heads_do_not_affect_the_nms_stage(model, recorded):
    model.head.predictors[0].bias.data[:3] += 9
    stage = compare_nms(model, runs(model), recorded, (), EVIDENCE)
    assert stage.verdict == "aligned"
    assert "extra, scores within" in stage.summary or "of " in stage.summary


def test_a_scale_factor_other_than_one(pristine, tmp_path):
    """Boxes are divided by the scale factor before they are compared with each other."""
    image = np.random.default_rng(0).integers(0, 255, (40, 120, 3), np.uint8)
    encoded_image = cv2.imencode(".png", image)[1].tobytes()
    path = own_recording.record(pristine, tmp_path / "r.safetensors", encoded_image)
    recording, recorded = open_reference(path)
    with recording:
        assert recording.index.scale_factor == pytest.approx((1.6, 64 / 120))
        assert compare_nms(pristine, [], recorded, (), EVIDENCE).verdict == "aligned"


ALIGNED = replace(XS_LCNET, classes=SMALL.classes)
SIZES = (8, 4, 2, 1)


def maps(channels):
    return tuple(torch.randn(1, channels, side, side) for side in SIZES)


OUTPUTS = {
    "pico_head": (SMALL, HeadOutput(maps(3), maps(32))),
    "pico_head_v2": (ALIGNED, HeadV2Output(maps(3), maps(1), maps(32))),
}


@pytest.mark.parametrize("head", OUTPUTS)
def test_head_output_to_layers_and_back(head):
    config, output = OUTPUTS[head]
    found = head_output_from_layers(config, head_output_by_layer(output).get)
    assert type(found) is type(output)
    for part, expected in zip(found, output, strict=True):
        assert all(map(torch.equal, part, expected))
    in_a_row = make_head_output(head, [tensor for part in output for tensor in part])
    assert in_a_row == output
    assert to_float64(output).reg[3].dtype == torch.float64


@pytest.mark.parametrize("head", OUTPUTS)
def test_missing_layers_or_other_classes_give_no_head_output(head):
    config, output = OUTPUTS[head]
    layers = head_output_by_layer(output)
    for path in layers:
        assert (
            head_output_from_layers(config, {k: v for k, v in layers.items() if k != path}.get)
            is None
        )
    assert head_output_from_layers(replace(config, classes=("a",)), layers.get) is None
    assert head_output_from_layers(replace(config, reg_max=11), layers.get) is None


def test_names_are_those_of_layers():
    assert list(head_output_by_layer(OUTPUTS["pico_head"][1]))[:2] == [
        "head.predictors.0",
        "head.predictors.1",
    ]
    assert set(head_output_by_layer(OUTPUTS["pico_head_v2"][1])) == {
        f"head.{layer}{level}"
        for layer in ("predictors.classes", "predictors.reg", "alignment.")
        for level in range(4)
    }
