"""Preprocessing as plain values in picodet's files, and back.

What is as in all of ppdet's own models is left out, so that their files stay as they were.
"""

import dataclasses
from collections.abc import Mapping
from math import isfinite
from typing import Any, get_args

from picodet.config import MAX_NUMBER, Padding, Preprocessing, ResizeKernels

LATER_FIELDS = ("is_scale", "padding", "unsupported")  # files of older versions have none of them


def preprocessing_to_meta(preprocessing: Preprocessing) -> dict[str, Any]:
    """Plain values of a preprocessing; `preprocessing_from_meta` is the inverse."""
    defaults, values = Preprocessing(), dataclasses.asdict(preprocessing)
    usual = [name for name in LATER_FIELDS if values[name] == getattr(defaults, name)]
    return {name: value for name, value in values.items() if name not in usual}


def preprocessing_from_meta(values: Mapping[str, Any]) -> Preprocessing:
    """The inverse of `preprocessing_to_meta`, for untrusted files.

    Raises KeyError, TypeError or ValueError for invalid values.
    """
    mean, std = (_three(values[key]) for key in ("mean", "std"))
    interp = values["interp"]
    kernels = values.get("resize", "native")  # older files have none
    if kernels not in get_args(ResizeKernels):
        raise ValueError(f"resize: found {kernels!r:.20}; expected {get_args(ResizeKernels)}")
    if (
        type(interp) is not int
        or interp not in range(5)
        or not all(map(isfinite, (*mean, *std)))
        or min(std) <= 0
    ):
        raise ValueError(f"invalid interp {interp!r:.20}, mean {mean!r:.60} or std {std!r:.60}")
    is_scale, unsupported = values.get("is_scale", True), values.get("unsupported", "")
    if type(is_scale) is not bool or not isinstance(unsupported, str):
        raise ValueError(f"invalid is_scale {is_scale!r:.20} or unsupported {unsupported!r:.60}")
    padding = values.get("padding")
    return Preprocessing(
        mean, std, interp, kernels, is_scale, padding and _padding(padding), unsupported
    )


def _padding(values: Mapping[str, Any]) -> Padding:
    keep_ratio, stride, size = values["keep_ratio"], values["stride"], values["size"]
    if type(keep_ratio) is not bool or type(stride) is not int or not 0 <= stride <= MAX_NUMBER:
        raise ValueError(f"padding: invalid keep_ratio {keep_ratio!r:.20} or stride {stride!r:.20}")
    fill = _three(values["fill"])
    if any(value not in range(256) for value in fill):
        raise ValueError(f"padding: found fill {fill!r:.60}; expected bytes")
    return Padding(_size(values["target_size"]), keep_ratio, size and _size(size), fill, stride)


def _size(values: Any) -> tuple[int, int]:
    height, width = values
    if any(type(side) is not int or not 0 < side <= MAX_NUMBER for side in (height, width)):
        raise ValueError(f"padding: found {values!r:.60}; expected height and width")
    return height, width


def _three(values: Any) -> tuple[float, float, float]:
    if not all(type(value) in (int, float) and abs(value) <= MAX_NUMBER for value in values):
        raise ValueError(f"expected three numbers up to {MAX_NUMBER}")
    red, green, blue = values
    return float(red), float(green), float(blue)
