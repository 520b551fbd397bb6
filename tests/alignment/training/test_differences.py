import numpy as np
import pytest
import torch

from picodet.alignment.tolerance import Tolerance
from picodet.alignment.training.differences import (
    compare_scalars,
    compare_tensor,
    compare_tensors,
)
from picodet.alignment.training.recording import tensor_digest
from picodet.converter.names.name_tables import name_table
from picodet.zoo.architectures import S

TOLERANCE = Tolerance(scale_factor=1e-9, noise_factor=10.0)
TABLE = name_table(S.backbone, S.neck, S.head)
NAME = "neck.conv_t.convs.0.bn.weight"  # ppdet's and ours
VALUES = torch.tensor([1.0, -2.0, 4.0, 0.5], dtype=torch.float64)


def whole(values):
    return tensor_digest(values.numpy(), np.arange(values.numel()))


def test_what_is_allowed_is_the_greater_of_two():
    assert TOLERANCE.allowed(floor=1e-9, scale=100.0) == pytest.approx(1e-7)
    assert TOLERANCE.allowed(floor=1e-6, scale=100.0) == pytest.approx(1e-5)


def test_the_worst_value_is_named_and_held_against_the_noise():
    others = [VALUES + torch.tensor([0, 1e-6, 0, 0]), VALUES]
    ours = VALUES + torch.tensor([0, 0, 9e-6, 0])
    found = compare_tensor(whole(VALUES), ours, [o + ours - VALUES for o in others], TOLERANCE)
    assert found.ok
    assert (found.index, found.scale) == ((2,), 4.0)
    assert found.error == pytest.approx(9e-6)
    assert found.allowed == pytest.approx(1e-5)
    worse = compare_tensor(whole(VALUES), ours, [ours + 8e-7], TOLERANCE)
    assert not worse.ok


def test_a_few_values_and_the_sum_of_all():
    """A difference where no value was recorded is seen in what all amount to."""
    sampled = tensor_digest(VALUES.numpy(), np.array([0, 1]))
    assert compare_tensor(sampled, VALUES, [VALUES], TOLERANCE).ok
    changed = VALUES + torch.tensor([0, 0, 0, 1e-3])
    found = compare_tensor(sampled, changed, [changed], TOLERANCE)
    assert not found.ok
    assert found.error == pytest.approx(1e-3)  # of the sum: 3.501 for 3.5
    assert (found.model, found.reference) == (pytest.approx(3.501), 3.5)


def test_another_shape_is_a_problem():
    assert (
        "shape [2, 2], the reference's is [4]"
        in compare_tensor(whole(VALUES), VALUES.view(2, 2), [], TOLERANCE).problem
    )


def test_tensors_without_a_partner_are_problems():
    recorded = {"neck.nobody": whole(VALUES), NAME: whole(VALUES)}
    found = {
        named.name: named.difference
        for named in compare_tensors(recorded, {}, [], TABLE, TOLERANCE)
    }
    assert found["neck.nobody"].problem == "no counterpart in the name table"
    assert found[NAME].problem == "not in picodet's training"


def test_after_several_steps_a_tensor_has_the_noise_of_the_median_one():
    """A channel that is zero in all of picodet's runs may live in the reference's."""
    state = {NAME: VALUES, "x": VALUES, "y": VALUES}
    other = {NAME: VALUES, "x": VALUES + 4e-6, "y": VALUES + 8e-6}  # parts of 4: 0, 1e-6, 2e-6
    recorded = {NAME: whole(VALUES + 3e-5)}
    assert not next(compare_tensors(recorded, state, [other], TABLE, TOLERANCE)).difference.ok
    assert next(compare_tensors(recorded, state, [other], TABLE, TOLERANCE, steps=3)).difference.ok


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_on_one_side_differs(bad):
    assert "NaN or Inf" in compare_scalars(bad, 1.0, 1.0, 0.0, TOLERANCE).problem
    assert compare_scalars(1.0, 1.0, 1.0, 0.0, TOLERANCE).ok
