"""The steps of preprocessing that an export lists in its settings.

They are those of deploy/python/preprocess.py of PaddleDetection, by the names of its classes:
Resize, Pad, NormalizeImage, Permute, PadStride. What is not among them, or in another order, is
named.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from picodet.config import (
    MAX_NUMBER,
    SIZE_DIVISOR,
    Padding,
    Preprocessing,
    check_input_size,
)

ORDER = ("Resize", "Pad", "NormalizeImage", "Permute", "PadStride")
# without NormalizeImage the network gets bytes: 0 to 255
NOT_NORMALIZED = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1), is_scale=False)
PADDED_BOXES = (
    "LetterBoxResize (PaddleDetection's deploy code does not take its padding off the boxes)"
)


class Steps(NamedTuple):
    """What a list of steps says; `preprocessing.unsupported` names the step that it cannot say."""

    size: tuple[int, int] | None  # of the network's input: height, width
    preprocessing: Preprocessing


class _UnsupportedError(ValueError):
    """A step, or a part of one, that `Preprocessing` has no place for."""


def parse_steps(steps: Any) -> Steps:
    """Read the list `Preprocess` of the settings; never raises for what it holds."""
    size = _stated_size(steps)
    try:
        named = _named_steps(steps)
        preprocessing = _normalization(named.get("NormalizeImage"))
        target, keep_ratio, interp = _resize(named["Resize"])
        padding = _padding(target, keep_ratio, named.get("Pad"), named.get("PadStride"))
        values = {**vars(preprocessing), "interp": interp, "padding": padding}
        return Steps(_input_size(target, padding), Preprocessing(**values))
    except _UnsupportedError as error:
        return Steps(size, Preprocessing(unsupported=str(error)))


def _stated_size(steps: Any) -> tuple[int, int] | None:
    """The target_size of the first step that has a usable one, whatever the step."""
    for step in steps if isinstance(steps, list) else ():
        try:
            size = _size(step["target_size"])
            check_input_size(size)
        except (KeyError, TypeError, ValueError):
            continue
        return size
    return None


def _named_steps(steps: Any) -> dict[str, Mapping[Any, Any]]:
    """The steps by their type, in the one order that `Preprocessing` has."""
    if not isinstance(steps, list) or not steps:
        raise _UnsupportedError(f"no list of steps (Preprocess is {_show(steps)})")
    named: dict[str, Mapping[Any, Any]] = {}
    for step in steps:
        name = step.get("type") if isinstance(step, dict) else None
        if not isinstance(name, str):
            raise _UnsupportedError(f"a step without a type ({_show(step)})")
        if name == "LetterBoxResize":
            raise _UnsupportedError(PADDED_BOXES)
        if name not in ORDER:
            raise _UnsupportedError(f"the step {name:.60}")
        if name in named:
            raise _UnsupportedError(f"the step {name} twice")
        named[name] = step
    if "Resize" not in named:
        raise _UnsupportedError("no step Resize")
    if "Permute" not in named:
        raise _UnsupportedError("no step Permute")
    if list(named) != sorted(named, key=ORDER.index):
        raise _UnsupportedError(f"its steps in the order {', '.join(named)}")
    return named


def _resize(step: Mapping[Any, Any]) -> tuple[tuple[int, int], bool, int]:
    """target_size, keep_ratio and interp, with the defaults of the class Resize."""
    try:
        target = _size(step["target_size"])
    except (KeyError, TypeError, ValueError) as error:
        found = step.get("target_size")
        raise _UnsupportedError(f"Resize with the target_size {_show(found)}") from error
    interp, keep_ratio = step.get("interp", 1), step.get("keep_ratio", True)
    if type(interp) is not int or interp not in range(5):
        raise _UnsupportedError(f"Resize with the interp {_show(interp)}")
    return target, bool(keep_ratio), interp


def _normalization(step: Mapping[Any, Any] | None) -> Preprocessing:
    if step is None:
        return NOT_NORMALIZED
    is_scale, norm_type = bool(step.get("is_scale", True)), step.get("norm_type", "mean_std")
    if norm_type not in ("mean_std", "none", None):
        raise _UnsupportedError(f"NormalizeImage with the norm_type {_show(norm_type)}")
    if norm_type != "mean_std":
        return Preprocessing(mean=(0, 0, 0), std=(1, 1, 1), is_scale=is_scale)
    try:
        mean, std = _rgb(step["mean"]), _rgb(step["std"])
        if min(std) <= 0:
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        found = f"mean {_show(step.get('mean'))} and std {_show(step.get('std'))}"
        raise _UnsupportedError(f"NormalizeImage with the {found}") from error
    return Preprocessing(mean=mean, std=std, is_scale=is_scale)


def _padding(
    target: tuple[int, int],
    keep_ratio: bool,
    pad: Mapping[Any, Any] | None,
    pad_stride: Mapping[Any, Any] | None,
) -> Padding | None:
    """None where the resized image always is the network's input."""
    stride = (pad_stride or {}).get("stride", 0)
    if type(stride) is not int or stride > MAX_NUMBER:
        raise _UnsupportedError(f"PadStride with the stride {_show(stride)}")
    stride = max(stride, 0)  # none of those is a padding in PaddleDetection
    size, fill = None, Padding.fill
    if pad is not None:
        try:
            size, fill = _size(pad["size"]), _rgb(pad.get("fill_value", fill))
        except (KeyError, TypeError, ValueError) as error:
            raise _UnsupportedError(f"Pad with the size {_show(pad.get('size'))}") from error
        if any(value not in range(256) for value in fill):
            raise _UnsupportedError(f"Pad with the fill_value {_show(pad.get('fill_value'))}")
    if not keep_ratio:
        smaller = size is not None and (size[0] < target[0] or size[1] < target[1])
        if smaller:
            raise _UnsupportedError(f"Pad with a size below the target_size {list(target)}")
        whole = not stride or not any(side % stride for side in size or target)
        if whole and size in (None, target):
            return None
    return Padding(target, keep_ratio, size, fill, stride)


def _input_size(target: tuple[int, int], padding: Padding | None) -> tuple[int, int]:
    """The network's input for an image of the proportions of the target size."""
    height, width = (padding.size if padding else None) or target
    stride = (padding.stride if padding else 0) or 1
    size = height + -height % stride, width + -width % stride
    try:
        check_input_size(size)
    except ValueError as error:
        raise _UnsupportedError(
            f"an input of {size[0]}x{size[1]}, where PicoDet takes multiples of {SIZE_DIVISOR}"
        ) from error
    varies = padding is not None and padding.keep_ratio and padding.size is None
    if padding is not None and varies and (not padding.stride or padding.stride % SIZE_DIVISOR):
        raise _UnsupportedError(
            f"Resize with keep_ratio and no padding to multiples of {SIZE_DIVISOR}"
        )
    return size


def _show(value: Any) -> str:
    try:
        return f"{value!r:.60}"
    except ValueError:  # an int of more digits than Python prints
        return "a number of thousands of digits"


def _size(value: Any) -> tuple[int, int]:
    height, width = (value, value) if type(value) is int else value
    if any(type(side) is not int or not 0 < side <= MAX_NUMBER for side in (height, width)):
        raise ValueError
    return height, width


def _rgb(values: Any) -> tuple[float, float, float]:
    if any(type(value) not in (int, float) or not isfinite(value) for value in values):
        raise ValueError
    red, green, blue = (float(value) for value in values)
    return red, green, blue
