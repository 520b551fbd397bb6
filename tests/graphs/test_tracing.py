"""The traced model: operators and calls of layers."""

from collections import Counter

import pytest
from tracing import SMALL

from picodet.converter.names.unmatched_tensors import TORCH_ONLY_SUFFIX
from picodet.graphs.operators import Source
from picodet.graphs.tracing import FUNCTION_KINDS, MODULE_KINDS, trace
from picodet.zoo.architectures import MOBILENET, RESNET, S_NPU, SHUFFLENET, VARIANTS

TRACED = trace(SMALL)


def calls(path):
    return [call for call in TRACED.calls if call.path == path]


def kinds_of(config):
    return Counter(operator.kind for operator in trace(config).operators)


def test_operators():
    kinds = Counter(operator.kind for operator in TRACED.operators)
    assert kinds == {
        **{"conv": 133, "batch_norm": 103, "hardswish": 87, "concat": 31, "split": 14, "mul": 13},
        **{"avg_pool": 13, "relu": 13, "hardsigmoid": 13, "shuffle": 10, "upsample": 2},
        **{"max_pool": 1, "add": 1},
    }
    conv, norm = TRACED.operators[:2]
    assert (conv.sources, norm.sources) == ((Source(-1),), (Source(0),))
    assert conv.weights == {"weight": "backbone.stem.conv.weight"}
    assert list(norm.weights) == ["weight", "bias", "running_mean", "running_var"]


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS, ids=lambda config: config.name)
def test_every_tensor_belongs_to_an_operator(config):
    """All layers are called but the integral, which decoding calls."""
    traced = trace(config)
    assert {operator.kind for operator in traced.operators} <= {
        *MODULE_KINDS.values(),
        *FUNCTION_KINDS.values(),
    }
    named = Counter(name for operator in traced.operators for name in operator.weights.values())
    assert set(named.values()) == {1}
    tensors = {name for name in traced.shapes if not name.endswith(TORCH_ONLY_SUFFIX)}
    assert tensors - named.keys() == {"head.integral.project"}


def test_operators_that_not_all_backbones_have():
    resnet, shufflenet, mobilenet = map(kinds_of, (RESNET, SHUFFLENET, MOBILENET))
    assert (resnet["max_pool"], resnet["other_avg_pool"]) == (1, 3)
    assert resnet["add"] == 1 + 8  # the neck's, and one for each block
    assert shufflenet["leaky_relu"] == 36
    assert mobilenet["hardsigmoid"] == mobilenet["mul"] == 8
    assert mobilenet["add"] == 1 + 10


def test_relu6_wherever_others_have_hardswish():
    """Layers of the backbone, functions in neck and head; not in squeeze-and-excitation."""
    kinds = kinds_of(S_NPU)
    assert kinds["hardswish"] == 0
    assert (kinds["relu6"], kinds["relu"], kinds["hardsigmoid"]) == (102, 2, 2)
    assert (kinds["sigmoid"], kinds["avg_pool"], kinds["mul"]) == (4, 6, 6)


def test_layers_in_the_order_in_which_they_return():
    first = [call.path for call in TRACED.calls[:4]]
    assert first == [f"backbone.{p}" for p in ("stem.conv", "stem.bn", "stem", "max_pool")]
    assert TRACED.calls[-1].path == "head"
    assert [call.number for call in calls("head.conv_feat")] == [0, 1, 2, 3]


def test_half_a_split_goes_into_a_layer():
    (source,) = calls("backbone.stage2.block2.conv_pw")[0].inputs
    assert (TRACED.operators[source.operator].kind, source.index) == ("split", 1)


@pytest.mark.slow
@pytest.mark.parametrize(("config", "maps"), [(SMALL, 8), (S_NPU, 12)])
def test_tuples_are_flat(config, maps):
    by_path = {call.path: call for call in trace(config).calls}
    assert [len(by_path[path].outputs) for path in ("backbone", "neck", "head")] == [3, 4, maps]
    assert by_path["neck"].inputs == by_path["backbone"].outputs
