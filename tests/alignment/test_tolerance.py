import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from picodet.alignment.result import worst
from picodet.alignment.tolerance import (
    Tolerance,
    measure_difference,
    noise_between,
    not_comparable,
)

NOISE = Tolerance(30.0)
NAN, INF = math.nan, math.inf


def f32(*values):
    return torch.tensor(values, dtype=torch.float32)


def test_the_greatest_difference_counts_not_the_mean():
    reference = torch.ones(2, 3, 100, 100)
    candidate = reference.clone()
    candidate[1, 2, 40, 7] = 1.5
    found = measure_difference(candidate, reference, 1e-3, NOISE)
    assert (found.error, found.index) == (0.5, (1, 2, 40, 7))
    assert (found.model, found.reference, found.scale) == (1.5, 1, 1)
    assert (found.floor, found.allowed, found.error_over_noise) == (1e-3, 0.03, 500)
    assert not found.ok


def test_up_to_what_is_allowed_it_passes():
    reference = f32(1, 2)
    assert measure_difference(f32(1, 2.25), reference, 0.125, Tolerance(2.0)).ok
    assert not measure_difference(f32(1, 2.25), reference, 0.124, Tolerance(2.0)).ok


def test_the_scale_is_the_references():
    assert measure_difference(f32(9, 9), f32(-4, 3), 0.0, NOISE).scale == 4
    assert measure_difference(f32(9, 9), f32(INF, -3), 0.0, NOISE).scale == 3


def test_the_floor_is_at_least_half_a_unit_in_the_last_place():
    found = measure_difference(f32(1, 2), f32(1, 2), 0.0, NOISE)
    assert found.floor == 2 * 2**-24
    assert found.allowed == 30 * 2 * 2**-24
    doubles = torch.tensor([2.0], dtype=torch.float64)
    assert measure_difference(doubles, doubles, 0.0, NOISE).floor == 2 * 2**-53


def test_where_all_is_zero_any_error_fails():
    found = measure_difference(f32(0, 1e-30), f32(0, 0), 0.0, NOISE)
    assert (found.floor, found.allowed, found.ok) == (0, 0, False)
    assert found.error_over_noise == INF
    assert measure_difference(f32(0, 0), f32(0, -0.0), 0.0, NOISE).ok
    assert measure_difference(f32(0, 0), f32(0, 0), 0.0, NOISE).error_over_noise == 0


def test_noise_that_could_not_be_measured_excuses_nothing():
    found = measure_difference(f32(1.001), f32(1), NAN, NOISE)
    assert (found.floor, found.ok) == (2**-24, False)


def test_a_part_of_the_scale_instead_of_the_noise():
    tolerance = Tolerance(scale_factor=0.1)
    assert measure_difference(f32(4.375), f32(4), 100.0, tolerance).allowed == pytest.approx(0.4)
    assert measure_difference(f32(4.375), f32(4), 0.0, tolerance).ok
    assert not measure_difference(f32(4.5), f32(4), 100.0, tolerance).ok


@pytest.mark.parametrize(
    ("candidate", "reference"), [(NAN, 1), (INF, 1), (1, NAN), (1, INF), (INF, -INF), (NAN, INF)]
)
def test_not_finite_on_one_side_fails(candidate, reference):
    found = measure_difference(f32(0, 9, candidate), f32(0, 1, reference), 100.0, NOISE)
    assert found.problem == "1 of 3 values are NaN or Inf on one side only"
    assert (found.index, found.error, found.ok, found.error_over_noise) == ((2,), INF, False, INF)
    assert np.array_equal([found.model, found.reference], [candidate, reference], equal_nan=True)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_non_finite_on_both_sides_is_equal(value):
    found = measure_difference(f32(value, 2, 3), f32(value, 2, 3), 0.0, NOISE)
    assert (found.ok, found.error, found.problem) == (True, 0, "")
    found = measure_difference(f32(value, 2, 3.5), f32(value, 2, 3), 0.0, NOISE)
    assert (found.ok, found.error, found.index, found.problem) == (False, 0.5, (2,), "")


def test_only_non_finite_values():
    assert measure_difference(f32(NAN, INF), f32(NAN, INF), 0.0, NOISE).ok
    assert not measure_difference(f32(NAN, INF), f32(INF, NAN), 0.0, NOISE).ok


@pytest.mark.parametrize(
    ("candidate", "reference", "message"),
    [
        (torch.ones(1), torch.ones(3, 4), "shape [1], the reference's is [3, 4]"),
        (torch.ones(3, 4), torch.ones(4, 3), "shape [3, 4], the reference's is [4, 3]"),
        (torch.ones(1, 2), torch.ones(2), "shape [1, 2], the reference's is [2]"),
        (torch.ones(()), torch.ones(1), "shape [], the reference's is [1]"),
        (torch.ones(0), torch.ones(2), "shape [0], the reference's is [2]"),
        (torch.ones(2).double(), torch.ones(2), "torch.float64, the reference's is torch.float32"),
        (torch.ones(2).int(), torch.ones(2), "torch.int32, the reference's is torch.float32"),
    ],
)
def test_equal_values_of_another_shape_or_dtype_fail(candidate, reference, message):
    found = measure_difference(candidate, reference, 100.0, NOISE)
    assert (found.problem, found.index, found.error, found.ok) == (message, (), INF, False)


def test_without_dimensions_and_without_values():
    found = measure_difference(torch.tensor(1.5), torch.tensor(1.0), 0.0, NOISE)
    assert (found.error, found.index, found.ok) == (0.5, (), False)
    assert measure_difference(torch.ones(0, 3), torch.ones(0, 3), 0.0, NOISE).ok


def test_noise_is_the_greatest_distance_from_the_first_run():
    assert noise_between(f32(1, 2), f32(1, 2.5), f32(0, 2)) == 1
    assert noise_between(f32(1, 2), f32(1, 2.5), f32(3, 2)) == 2
    assert noise_between(f32(1, 2)) == 0
    assert noise_between(torch.ones(0), torch.ones(0)) == 0
    assert noise_between(f32(1), torch.tensor([1.25], dtype=torch.float64)) == 0.25
    assert math.isnan(noise_between(f32(1), f32(1, 2)))
    assert math.isnan(noise_between(f32(NAN), f32(NAN)))


def test_the_worst_is_the_furthest_beyond_the_tolerance():
    big = measure_difference(f32(100.0), f32(90.0), 10.0, NOISE)  # allowed
    small = measure_difference(f32(1.001), f32(1), 1e-6, NOISE)
    broken = not_comparable("shape")
    from_zero = measure_difference(f32(1e-9), f32(0), 0.0, NOISE)
    assert worst([big, small]) is small
    assert worst([small, broken, big]) is broken
    assert worst([big, small, from_zero]) is from_zero
    assert worst([]) is None


values = arrays(np.float32, (3, 4), elements=st.floats(-(2.0**90), 2.0**90, width=32))


@given(values, values)
def test_it_agrees_with_numpy(candidate, reference):
    found = measure_difference(torch.from_numpy(candidate), torch.from_numpy(reference), 0.0, NOISE)
    distance = np.abs(candidate - reference)
    assert found.error == distance.max() == distance[found.index]
    assert (found.model, found.reference) == (candidate[found.index], reference[found.index])
    assert found.scale == np.abs(reference).max()
    assert found.ok == (distance.max() <= 30 * 2.0**-24 * found.scale)
