"""References made from picodet's trace: renamed, reordered, folded, and broken."""

from dataclasses import replace

import numpy as np
import pytest
from tracing import SMALL

from picodet.alignment.pairing.by_structure import pair_by_structure
from picodet.alignment.pairing.pairs import FoldedConvBN
from picodet.alignment.recording.index import Index, RecordedOutputs, TensorInfo, Weight
from picodet.errors import AlignmentError, GraphError
from picodet.graphs.operators import Operator, Source
from picodet.graphs.tracing import trace
from picodet.zoo.official import CONFIGS

TRACED = trace(SMALL)


def shuffled(operators, seed=0):
    """The same graph in another valid order."""
    rng, place = np.random.default_rng(seed), {-1: -1}
    waiting = list(range(len(operators)))
    found = []
    while waiting:
        ready = [i for i in waiting if all(s.operator in place for s in operators[i].sources)]
        i = int(rng.choice(ready))
        waiting.remove(i)
        place[i] = len(found)
        sources = tuple(Source(place[s.operator], s.index) for s in operators[i].sources)
        found.append(replace(operators[i], sources=sources))
    return found


def reference(operators, shapes):
    """A recording whose keys name the output of the traced operator."""
    operators = tuple(
        replace(
            operator,
            name=f"reference {operator.name}",
            outputs=tuple(f"{operator.name}:{i}" for i in range(2)),
            weights={role: f"reference {name}" for role, name in operator.weights.items()},
        )
        for operator in operators
    )
    return Index(
        kind="onnx",
        file="reference.onnx",
        sha256="",
        versions={},
        precision="float32",
        samples=0,
        input="image",
        image=None,
        scale_factor=(1, 1),
        settings=None,
        weights=tuple(Weight(f"reference {name}", name) for name in shapes),
        steps=(),
        calls=(),
        operators=operators,
        network_outputs=RecordedOutputs((), ()),
        probes={},
        tensors={n: TensorInfo(shape, "float32", 0, 0, 0, 0, 0) for n, shape in shapes.items()},
    )


def key(source):
    if source.operator < 0:
        return "image"
    return f"{TRACED.operators[source.operator].name}:{source.index}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_order_and_names_do_not_matter(seed):
    pairing = pair_by_structure(SMALL, reference(shuffled(TRACED.operators, seed), TRACED.shapes))
    assert len(pairing.calls) == len(TRACED.calls) == 393
    for call, traced in zip(pairing.calls, TRACED.calls, strict=True):
        assert (call.path, call.number, call.type) == (traced.path, traced.number, traced.type)
        assert call.inputs == tuple(map(key, traced.inputs))
        assert call.outputs == tuple(map(key, traced.outputs))
        assert call.folded_into is None
    assert pairing.weights == {
        name: f"reference {name}"
        for name in TRACED.shapes
        if not name.endswith(("num_batches_tracked", "project"))
    }
    assert pairing.unpaired == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_no_two_layers_of_a_variant_are_interchangeable(name):
    traced = trace(CONFIGS[name])
    assert pair_by_structure(CONFIGS[name], reference(traced.operators, traced.shapes)).calls


def without(operators, dropped):
    """The graph without operator `dropped`, whose output is replaced by its input."""
    moved = {dropped: operators[dropped].sources[0]}

    def source(old):
        new = moved.get(old.operator, old)
        return Source(new.operator - (new.operator > dropped), new.index)

    kept = [operator for i, operator in enumerate(operators) if i != dropped]
    return [replace(o, sources=tuple(map(source, o.sources))) for o in kept]


def folded(operators, bias):
    operators = without(operators, 1)
    weights = operators[0].weights | ({"bias": "folded"} if bias else {})
    return [replace(operators[0], weights=weights), *operators[1:]]


SHAPES = {**TRACED.shapes, "folded": (24,)}


def test_a_folded_batch_norm():
    pairing = pair_by_structure(SMALL, reference(folded(TRACED.operators, bias=True), SHAPES))
    conv, norm, stem = pairing.calls[:3]
    made = f"{TRACED.operators[0].name}:0"
    assert (conv.path, conv.inputs, conv.outputs) == ("backbone.stem.conv", ("image",), (None,))
    assert (norm.path, norm.inputs, norm.outputs) == ("backbone.stem.bn", (None,), (made,))
    assert (conv.folded_into, norm.folded_into) == ("backbone.stem.bn", None)
    assert stem.outputs == (f"{TRACED.operators[2].name}:0",)
    one = FoldedConvBN(
        "reference backbone.stem.conv.weight",
        "reference folded",
        "backbone.stem.conv",
        "backbone.stem.bn",
    )
    assert pairing.weights["backbone.stem.conv.weight"] == one
    assert pairing.weights["backbone.stem.bn.running_var"] == one
    assert sum(isinstance(weight, FoldedConvBN) for weight in pairing.weights.values()) == 5


def test_a_batch_norm_that_is_missing():
    with pytest.raises(AlignmentError, match=r"is a conv without a bias; backbone\.stem\.conv of"):
        pair_by_structure(SMALL, reference(folded(TRACED.operators, bias=False), SHAPES))


def test_a_tensor_that_only_the_reference_has():
    operators = list(TRACED.operators)
    operators[0] = replace(operators[0], weights={**operators[0].weights, "bias": "folded"})
    (unpaired,) = pair_by_structure(SMALL, reference(operators, SHAPES)).unpaired
    assert (unpaired.side, unpaired.path, unpaired.type) == (
        "reference",
        "reference folded",
        "tensor",
    )


def test_the_bins_values_are_found_where_the_reference_decodes():
    end = len(TRACED.operators)
    project = {"input1": "head.integral.project"}
    decoding = [
        Operator("softmax", "softmax", (Source(end - 1, 1),), ()),
        Operator("matmul", "matmul", (Source(end),), (), project),
        Operator("mul", "mul", (Source(end + 1),), (), {"input1": "folded"}),  # strides
    ]
    pairing = pair_by_structure(SMALL, reference([*TRACED.operators, *decoding], SHAPES))
    assert pairing.weights["head.integral.project"] == "reference head.integral.project"
    assert pairing.unpaired == ()


def test_another_network_is_rejected():
    dropped = next(i for i, o in enumerate(TRACED.operators) if o.kind == "hardswish")
    with pytest.raises(GraphError) as caught:
        pair_by_structure(SMALL, reference(without(TRACED.operators, dropped), TRACED.shapes))
    message = str(caught.value)
    assert "86 hardswish where the model has 87; first without a partner: max_pool" in message
    shapes = {**TRACED.shapes, "backbone.stem.conv.weight": (40, 3, 3, 3)}
    with pytest.raises(GraphError, match=r"partner: conv \[40, 3, 3, 3\] .*conv \[24, 3, 3, 3\]"):
        pair_by_structure(SMALL, reference(TRACED.operators, shapes))
