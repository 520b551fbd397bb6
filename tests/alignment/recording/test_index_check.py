"""Graphs with two inputs, image and scale factor, are valid in an index; a third is not."""

import pytest

from picodet.alignment.recording.index_check import _check_operators
from picodet.graphs.operators import Operator, Source


def takes(source):
    return [Operator("mul", "boxes", (Source(-1), source), ("key",), {})]


def test_the_scale_factor_is_the_second_input():
    _check_operators(takes(Source(-1, 1)), set())


def test_there_is_no_third():
    with pytest.raises(ValueError, match="takes output 2 of an operator with 2"):
        _check_operators(takes(Source(-1, 2)), set())
