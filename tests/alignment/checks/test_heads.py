"""Heads put together from what their last layers do, and taken apart again."""

from dataclasses import replace

import pytest
import torch
from tracing import SMALL

from picodet.alignment.checks.heads import by_layers, from_layers, head_output, in_double
from picodet.models.head import AlignedOutput, HeadOutput
from picodet.zoo.architectures import XS_LCNET

ALIGNED = replace(XS_LCNET, classes=SMALL.classes)
SIZES = (8, 4, 2, 1)


def maps(channels):
    return tuple(torch.randn(1, channels, side, side) for side in SIZES)


OUTPUTS = {
    "pico_head": (SMALL, HeadOutput(maps(3), maps(32))),
    "pico_head_v2": (ALIGNED, AlignedOutput(maps(3), maps(1), maps(32))),
}


@pytest.mark.parametrize("head", OUTPUTS)
def test_there_and_back(head):
    config, output = OUTPUTS[head]
    found = from_layers(config, by_layers(output).get)
    assert type(found) is type(output)
    for ours, theirs in zip(found, output, strict=True):
        assert all(map(torch.equal, ours, theirs))
    in_a_row = head_output(head, [tensor for part in output for tensor in part])
    assert in_a_row == output
    assert in_double(output).sides[3].dtype == torch.float64


@pytest.mark.parametrize("head", OUTPUTS)
def test_what_is_missing_or_of_other_classes_is_no_head(head):
    config, output = OUTPUTS[head]
    layers = by_layers(output)
    for path in layers:
        assert from_layers(config, {k: v for k, v in layers.items() if k != path}.get) is None
    assert from_layers(replace(config, classes=("a",)), layers.get) is None
    assert from_layers(replace(config, reg_max=11), layers.get) is None


def test_names_are_those_of_layers():
    assert list(by_layers(OUTPUTS["pico_head"][1]))[:2] == [
        "head.predictors.0",
        "head.predictors.1",
    ]
    assert set(by_layers(OUTPUTS["pico_head_v2"][1])) == {
        f"head.{layer}{level}"
        for layer in ("predictors.classes", "predictors.sides", "alignment.")
        for level in range(4)
    }
