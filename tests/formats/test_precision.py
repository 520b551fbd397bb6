import numpy as np
import pytest

from picodet.formats.precision import as_float32


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([1.5, -2], np.float32), [1.5, -2]),
        (np.array([1.5, 65504], np.float16), [1.5, 65504]),
        (np.array([1.5, 1e300]), [1.5, np.inf]),  # found and refused later, by name
        (np.array([0x3FC0, 0xC000, 0x7F80], np.uint16), [1.5, -2, np.inf]),  # bfloat16
        (np.array([1.5], ">f4"), [1.5]),
    ],
)
def test_every_format_becomes_float32(array, expected):
    found = as_float32(array)
    assert found.dtype == np.float32
    assert found.dtype.isnative
    assert found.flags.writeable
    assert found.tolist() == expected


def test_other_numbers_are_no_weights():
    assert as_float32(np.array([1])) is None
    assert as_float32(np.array([True])) is None
