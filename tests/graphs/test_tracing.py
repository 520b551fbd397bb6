"""Our model as operators and calls."""

from collections import Counter

from tracing import SMALL

from picodet.graphs.operators import Source
from picodet.graphs.tracing import trace

TRACED = trace(SMALL)


def calls(path):
    return [call for call in TRACED.calls if call.path == path]


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


def test_layers_in_the_order_in_which_they_return():
    first = [call.path for call in TRACED.calls[:4]]
    assert first == [f"backbone.{p}" for p in ("stem.conv", "stem.bn", "stem", "max_pool")]
    assert TRACED.calls[-1].path == "head"
    assert [call.number for call in calls("head.conv_feat")] == [0, 1, 2, 3]


def test_half_a_split_goes_into_a_layer():
    (source,) = calls("backbone.stage2.block2.conv_pw")[0].inputs
    assert (TRACED.operators[source.operator].kind, source.index) == ("split", 1)


def test_tuples_are_flat():
    assert [len(calls(path)[0].outputs) for path in ("backbone", "neck", "head")] == [3, 4, 8]
    assert calls("neck")[0].inputs == calls("backbone")[0].outputs
