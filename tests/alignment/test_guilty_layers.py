"""Faults planted in a model, compared with the unchanged model: which layers are guilty?"""

import copy
import gc

import own_recording
import pytest
import torch
from layer_comparison import compare, guilty
from torch import nn

from picodet.alignment.checks import layers
from picodet.alignment.checks.layers import ROOT_PATH
from picodet.alignment.rounding import NUM_PERTURBATIONS
from picodet.alignment.tolerance import FLOAT64_TOLERANCE, Tolerance
from picodet.models import csp_pan, esnet
from picodet.models.head import PicoFeat, PicoHead

pytestmark = pytest.mark.slow


def test_the_same_model_is_aligned(model, reference):
    result = compare(model, reference)
    assert len(result.layers) == 394  # all calls, and the whole model
    assert {layer.status for layer in result.layers} == {"aligned"}
    assert (result.unpaired, result.run_error) == ((), "")
    for layer in result.layers:
        assert layer.local is None or layer.local.error == 0, layer
        if layer.path not in ("head", ROOT_PATH):  # these return what other layers computed
            assert layer.accumulated.error == 0
            assert layer.accumulated.floor > 0
    # in float32, reordered, in float64, and perturbed
    assert [len(run) for run in result.heads] == [8] * (3 + NUM_PERTURBATIONS)
    assert result.heads[2][0].dtype == torch.float64


def set_weight(model):
    model.backbone.stage2.block2.se.reduce.weight.data[0, 0, 0, 0] += 0.25


def set_epsilon(model):
    model.neck.conv_t.convs[1].bn.eps = 1e-3


def drop_activation(model):
    model.backbone.stage3.block2.conv_pw.act = False


def exchange_branches(model):
    class Exchanged(csp_pan.CSPLayer):
        def forward(self, x):
            main = self.blocks(self.main_conv(x))
            return self.final_conv(torch.cat([self.short_conv(x), main], dim=1))

    model.neck.top_down_blocks[1].__class__ = Exchanged


def drop_shuffle(model):
    class Unshuffled(esnet.ShuffleBlock):
        def forward(self, x):
            passed, worked = x.chunk(2, dim=1)
            worked = self.conv_pw(worked)
            worked = self.se(torch.cat([worked, self.conv_dw(worked)], dim=1))
            return torch.cat([passed, self.conv_linear(worked)], dim=1)

    model.backbone.stage2.block3.__class__ = Unshuffled


def drop_tower_activation(model):
    class Bare(PicoFeat):
        def forward(self, x, level):
            return nn.functional.hardswish(nn.Sequential(*self.levels[level].values())(x))

    model.head.conv_feat.__class__ = Bare


def add_one(model):
    class Added(csp_pan.CSPPAN):
        def forward(self, features):
            p3, p4, p5, p6 = super().forward(features)
            return p3, p4, p5, p6 + 1

    model.neck.__class__ = Added


def exchange_downsamples(model):
    model.neck.downsamples = nn.ModuleList(reversed(model.neck.downsamples))


def one_class_off(model):
    model.head.predictors[3].bias.data[1] *= 1.01


# faults, the guilty layer, and the diagnosis
FAULTS = {
    "weight": (set_weight, ["backbone.stage2.block2.se.reduce"], "output"),
    "epsilon": (set_epsilon, ["neck.conv_t.convs.1.bn"], "output"),
    "activation": (drop_activation, ["backbone.stage3.block2.conv_pw"], "output"),
    "order": (exchange_branches, ["neck.top_down_blocks.1"], "input of final_conv"),
    "shuffle": (drop_shuffle, ["backbone.stage2.block3"], "output"),
    "tower": (drop_tower_activation, ["head.conv_feat"] * 4, "input of levels.{}.pw0"),
    "addition": (add_one, ["neck"], "output"),
    "bias": (one_class_off, ["head.predictors.3"], "output"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_only_the_layer_that_is_wrong_is_guilty(fault, model, reference):
    plant, expected, where = FAULTS[fault]
    plant(model)
    result = compare(model, reference)
    assert guilty(result) == expected
    assert (result.unpaired, result.run_error) == ((), "")
    found = [layer for layer in result.layers if layer.status == "guilty"]
    if fault != "tower":
        assert found[0].where == where
    assert all(layer.local.error > layer.local.allowed for layer in found)


def test_what_comes_after_is_affected_and_what_comes_before_aligned(model, reference):
    set_epsilon(model)
    result = compare(model, reference)
    paths = [layer.path for layer in result.layers]
    at = paths.index("neck.conv_t.convs.1.bn")
    assert {layer.status for layer in result.layers[:at]} == {"aligned"}
    after = {layer.path: layer for layer in result.layers[at + 1 :]}
    assert after["neck.conv_t.convs.2.conv"].status == "aligned"  # beside it
    for path in ("neck.conv_t.convs.1", "neck.conv_t", "neck", "head.predictors.0"):
        assert after[path].status == "affected"
        assert after[path].local.ok
        assert not after[path].accumulated.ok


def test_two_faults_are_both_named(model, reference):
    set_weight(model)
    exchange_branches(model)
    assert guilty(compare(model, reference)) == [
        "backbone.stage2.block2.se.reduce",
        "neck.top_down_blocks.1",
    ]


def test_swapped_layers_are_both_named(model, reference):
    exchange_downsamples(model)
    found = guilty(compare(model, reference))
    assert {path.rpartition(".")[0] for path in found} == {
        "neck.downsamples.0",
        "neck.downsamples.1",
    }


def test_the_whole_model_may_be_wrong_itself(model, reference):
    class Reversed(PicoHead):
        def forward(self, features):
            return super().forward(features[::-1])

    model.head.__class__ = Reversed
    result = compare(model, reference)
    assert "head" in guilty(result)
    (head,) = (layer for layer in result.layers if layer.path == "head")
    assert head.where.startswith("input of ")
    assert head.local.problem.startswith("shape ")


def test_another_shape_is_guilty(model, reference):
    conv = model.neck.conv_t.convs[2].conv
    model.neck.conv_t.convs[2].conv = nn.Conv2d(conv.in_channels, 96, 1, padding=1, bias=False)
    model.neck.conv_t.convs[2].conv.weight = conv.weight
    result = compare(model, reference)
    assert guilty(result) == ["neck.conv_t.convs.2.conv"]
    (layer,) = (layer for layer in result.layers if layer.status == "guilty")
    assert layer.local.problem == "shape [1, 96, 4, 4], the reference's is [1, 96, 2, 2]"
    # the whole run fails where the maps do not fit; run on the reference's inputs, all are compared
    assert result.run_error.startswith("neck cannot be run: RuntimeError: Sizes of tensors")
    assert result.heads == ()
    (last,) = (layer for layer in result.layers if layer.path == "head.predictors.3")
    assert (last.status, last.local.error, last.accumulated) == ("aligned", 0, None)


def test_a_layer_that_raises_is_named(model, reference):
    model.backbone.stage4.block1.se.expand = nn.Conv2d(7, 7, 1)
    result = compare(model, reference)
    assert result.run_error.startswith(
        "backbone.stage4.block1.se.expand cannot be run: RuntimeError"
    )
    paths = [layer.path for layer in result.layers]
    assert paths[-1] == "backbone.stage4.block1.se.reduce"
    assert guilty(result) == []
    assert len(result.unpaired) > 100  # the layers that were not reached


def test_nan_in_the_model_is_guilty(model, reference):
    model.head.predictors[0].bias.data[0] = float("nan")
    result = compare(model, reference)
    assert guilty(result) == ["head.predictors.0"]
    (layer,) = (layer for layer in result.layers if layer.status == "guilty")
    assert layer.local.problem == "64 of 2240 values are NaN or Inf on one side only"


def test_accumulated_rounding_is_not_guilty(model, reference):
    """The same convolution in another order of additions."""

    class Reordered(nn.Conv2d):
        def forward(self, x):
            middle = x.shape[1] // 2
            weight = self.weight
            return nn.functional.conv2d(x[:, middle:], weight[:, middle:]) + nn.functional.conv2d(
                x[:, :middle], weight[:, :middle]
            )

    model.neck.conv_t.convs[1].conv.__class__ = Reordered
    result = compare(model, reference)
    (layer,) = (x for x in result.layers if x.path == "neck.conv_t.convs.1.conv")
    assert 0 < layer.local.error < layer.local.allowed
    assert guilty(result) == []


@pytest.fixture(scope="module")
def in_double(pristine, tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "r64.safetensors"
    return own_recording.record(copy.deepcopy(pristine).double(), path)


def test_in_float64_the_smallest_mistake_shows(model, in_double):
    """An eps of 1e-5 in float64, where Paddle keeps it in float32."""
    tolerance = Tolerance(scale_factor=FLOAT64_TOLERANCE)
    assert guilty(compare(copy.deepcopy(model).double(), in_double, tolerance)) == []
    model.double().neck.first_top_conv.bn1.eps = 1e-5
    result = compare(model, in_double, Tolerance(scale_factor=1e-13))
    assert guilty(result) == ["neck.first_top_conv.bn1"]
    assert [len(run) for run in result.heads] == [8, 8]  # no more, as it is float64 already


def test_against_a_summary_the_first_affected_layer_is_named(model, summary):
    result = compare(model, summary)
    assert {layer.status for layer in result.layers} == {"aligned"}
    assert {layer.local for layer in result.layers} == {None}  # a summary has no inputs
    drop_activation(model)
    exchange_branches(model)
    result = compare(model, summary)
    assert guilty(result) == ["backbone.stage3.block2.conv_pw"]
    (layer,) = (layer for layer in result.layers if layer.status == "guilty")
    assert layer.where == "output, with all layers before it"


def test_no_run_is_kept(model, reference, monkeypatch):
    """The number of live tensors does not grow with depth: a layer is compared and dropped."""
    alive = []

    class Counting(layers._LayerComparison):
        def add(self, snapshot):
            super().add(snapshot)
            if len(self.rows) % 40 == 0:
                gc.collect()
                alive.append(sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects()))

    monkeypatch.setattr(layers, "_LayerComparison", Counting)
    compare(model, reference)
    assert len(alive) >= 9
    assert max(alive) - alive[0] < 100  # of some 2,000 that the runs make
    assert gc.isenabled()
