"""Layers that only one side has are reported, whichever side it is."""

from dataclasses import replace

import pytest
from layer_comparison import compare, guilty
from torch import nn

from picodet.alignment.recording.index import RecordedCall
from picodet.alignment.result import Unpaired
from picodet.models import csp_pan
from picodet.models.layers import ConvBN

pytestmark = pytest.mark.slow


def test_a_layer_only_in_the_model_has_no_partner(model, reference):
    class More(ConvBN):
        def forward(self, x):
            return self.more(super().forward(x))

    model.neck.conv_t.convs[0].more = nn.Identity()
    model.neck.conv_t.convs[0].__class__ = More
    result = compare(model, reference)
    assert result.unpaired == (Unpaired("model", "neck.conv_t.convs.0.more", "Identity"),)
    assert guilty(result) == []


def test_a_call_too_many_has_no_partner(model, reference):
    class Twice(ConvBN):
        def forward(self, x):
            self.conv(x)
            return super().forward(x)

    model.backbone.stem.__class__ = Twice
    result = compare(model, reference)
    assert Unpaired("model", "backbone.stem.conv", "Conv2d") in result.unpaired


def test_a_layer_that_is_not_called_has_no_partner(model, reference):
    class Bare(csp_pan.CSPPAN):
        def forward(self, features):
            self.second_top_conv, forward = nn.Identity(), super().forward
            return forward(features)

    model.neck.__class__ = Bare
    result = compare(model, reference)
    missed = {item.path for item in result.unpaired if item.side == "reference"}
    parts = ("", ".dwconv", ".bn1", ".pwconv", ".bn2")
    assert missed == {f"neck.second_top_conv{part}" for part in parts}


def test_a_layer_only_in_the_reference_has_no_partner(model, reference):
    def change(index):
        calls = (
            *index.calls,
            RecordedCall("neck.swish", 0, "Swish", (), ()),
            RecordedCall("neck.upsample", 2, "Upsample", (), ()),
        )
        return replace(index, calls=calls)

    result = compare(model, reference, change=change)
    assert result.unpaired == (
        Unpaired("reference", "neck.swish", "Swish"),
        Unpaired("reference", "neck.upsample", "Upsample"),
    )
