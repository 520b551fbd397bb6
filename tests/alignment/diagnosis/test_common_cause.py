"""A change to many tensors is reported once, and only if it explains them."""

import numpy as np
import pytest

from picodet.alignment.diagnosis import common_cause as common
from picodet.alignment.diagnosis.common_cause import WeightDifference, group_by_cause
from picodet.alignment.result import Finding

RANDOM = np.random.RandomState(3)
SHAPES = ((24, 3, 3, 3), (48, 24, 1, 1), (96, 1, 5, 5), (116,), (116,), (64, 96, 1, 1))
REFERENCE = {f"{i}.weight": RANDOM.normal(0, 0.3, s).astype("f4") for i, s in enumerate(SHAPES)}


def int8(array, axes):
    step = np.abs(array).max(axis=axes, keepdims=True) / np.float32(127)
    return np.rint(array / step) * step


def with_zero_point(array):
    low, high = array.min(), array.max()
    step = (high - low) / np.float32(255)
    return (np.rint(array / step - low / step) + low / step).astype("f4") * step


def pairs(change, reference=REFERENCE):
    return {name: (change(array).astype("f4"), array) for name, array in reference.items()}


CAUSES = {
    "factor": (lambda a: a * np.float32(0.9998), "the reference's times 0.9998"),
    "six decimals": (lambda a: np.round(a, 6), "the reference's, rounded to 6 decimals"),
    "three decimals": (
        lambda a: np.round(a.astype("f8"), 3),
        "the reference's, rounded to 3 decimals",
    ),
    "float16": (lambda a: a.astype("f2"), "the reference's, rounded to float16"),
    "int8": (
        lambda a: int8(a, None),
        "the reference's, rounded to int8 with one scale for each tensor",
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_common_cause_is_found(cause):
    change, text = CAUSES[cause]
    found = common.common_cause(pairs(change))
    assert found.text == text
    assert set(found.tensors) == REFERENCE.keys()


def test_int8_with_a_scale_for_each_channel():
    kernels = {str(i): RANDOM.normal(0, 1, (16, 8, 3, 3)).astype("f4") for i in range(6)}
    found = common.common_cause(pairs(lambda a: int8(a, (1, 2, 3)), kernels))
    assert found.text == "the reference's, rounded to int8 with one scale for each output channel"


def test_another_quantization_to_eight_bits():
    kernels = {str(i): RANDOM.normal(0, 1, (16, 8, 3, 3)).astype("f4") for i in range(6)}
    found = common.common_cause(pairs(with_zero_point, kernels))
    assert found.text == "the reference's, rounded to at most 256 values in each tensor (8 bits)"


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a + RANDOM.normal(0, 1e-4, a.shape),
        lambda a: a * RANDOM.uniform(0.9997, 0.9999, a.shape),
        lambda a: np.nextafter(a, np.float32(9)),
        lambda a: np.full_like(a, np.nan),
        np.zeros_like,
    ],
    ids=["noise", "many factors", "the next number", "NaN", "zeros"],
)
def test_no_common_cause_is_reported_without_one(change):
    with np.errstate(invalid="ignore"):
        assert common.common_cause(pairs(change)) is None


def test_most_tensors_must_share_the_cause():
    some = pairs(CAUSES["factor"][0])
    others = {f"other {name}": (array + 1, array) for name, array in REFERENCE.items()}
    assert common.common_cause(some | others).tensors == tuple(some)
    others |= {"one": (REFERENCE["0.weight"] + 1, REFERENCE["0.weight"])}
    assert common.common_cause(some | others) is None


def difference(name, candidate, reference):
    def finding(explained):
        asked.append(name) if explained else None
        return Finding(name, "found", "expected", "explained" if explained else "")

    return WeightDifference((name,), candidate, reference, finding)


asked = []


def test_a_common_cause_is_one_finding_and_the_others_are_examined(monkeypatch):
    asked.clear()
    monkeypatch.setattr(common, "MAX_EXPLAINED", 2)
    differences = [difference(name, *pair) for name, pair in pairs(CAUSES["factor"][0]).items()]
    odd = REFERENCE["3.weight"]
    differences += [difference(f"odd {i}", odd + 1 + i, odd) for i in range(3)]
    first, *others = group_by_cause(differences)
    assert first.name == "6 of 9 that differ, first 0.weight"
    assert first.diagnosis == "one cause: the model's are the reference's times 0.9998"
    assert first.tensors == tuple(REFERENCE)
    assert asked == ["odd 0", "odd 1"]
    assert [finding.name for finding in others] == ["odd 0", "odd 1", "odd 2"]
    assert others[2].diagnosis.startswith("not examined")


def test_a_second_cause_among_the_rest():
    """In a folded pair a factor scales the weights by its power 1.5, the biases by its first."""
    differences = [
        difference(f"{factor} {name}", array * np.float32(factor), array)
        for factor in (0.9998, 0.9997)
        for name, array in REFERENCE.items()
    ]
    assert [finding.diagnosis for finding in group_by_cause(differences)] == [
        "one cause: the model's are the reference's times 0.9998",
        "one cause: the model's are the reference's times 0.9997",
    ]
