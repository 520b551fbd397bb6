import numpy as np

from picodet.config import Preprocessing
from picodet.converter.configure import FileHints
from picodet.converter.graph_normalization import DEFAULTS_NOTE, UNSCALED_NOTE, add_normalization
from picodet.graphs.passes.normalization import NOT_NORMALIZED, Normalization

HALVES = Normalization(np.full(3, 1 / 51), np.full(3, -2.5), "y")  # (x / 255 - 0.5) / 0.2


def hints(preprocessing):
    return FileHints("x", preprocessing=preprocessing)


def test_a_graph_that_does_nothing():
    assert add_normalization(hints(None), None) == (hints(None), DEFAULTS_NOTE)
    stated = hints(Preprocessing(interp=1))
    assert add_normalization(stated, None) == (stated, None)


def test_an_image_that_nobody_scales():
    stated = hints(NOT_NORMALIZED)
    assert add_normalization(stated, None) == (stated, UNSCALED_NOTE)


def test_a_graph_that_normalizes():
    found, note = add_normalization(hints(NOT_NORMALIZED), HALVES)
    assert found.preprocessing == Preprocessing((0.5,) * 3, (0.2,) * 3)
    assert note.endswith("mean [0.5, 0.5, 0.5] and std [0.2, 0.2, 0.2] of values from 0 to 1")
    assert add_normalization(hints(None), HALVES)[1].endswith("; interp 2 is assumed")


def test_a_step_that_is_not_carried_out_stays_unsupported():
    stated = hints(Preprocessing(unsupported="the step Mirror"))
    assert add_normalization(stated, HALVES)[0] == stated
