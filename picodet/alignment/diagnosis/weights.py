"""How a weight differs from the reference's: known mistakes, tried one by one."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from picodet.alignment.recording.index import content_key
from picodet.alignment.result import UNKNOWN_CAUSE
from picodet.graphs.operators import TensorKey

SAME_FACTOR = 1e-6  # relative: float32 rounds a product by 6e-8
TENSOR_ROLES = ("weight", "bias", "running_mean", "running_var")  # of a batch norm, in this order


def explain(
    name: str,
    candidate: Mapping[str, np.ndarray],
    reference_keys: Mapping[str, TensorKey],
    reference: np.ndarray | None,
) -> str:
    """How the tensor `name` of the model differs from the reference's, in one sentence.

    `reference` is its whole tensor, None where only its key is known.
    """
    if swapped := _swapped(name, content_key(candidate[name]), candidate, reference_keys):
        return swapped
    text = None
    if candidate[name].ndim > 1:
        moved = ((what, content_key(array)) for what, array in _rearranged(candidate[name]))
        text = next((what for what, moved_key in moved if moved_key == reference_keys[name]), None)
    if text is None and reference is not None and reference.shape == candidate[name].shape:
        return explain_known(name, candidate[name], reference)
    return f"{name}: {text}" if text else UNKNOWN_CAUSE


def explain_known(name: str, array: np.ndarray, reference: np.ndarray) -> str:
    """How an array differs from the reference of the same shape, in one sentence."""
    attempts = (attempt(array, reference) for attempt in ATTEMPTS)
    text = next((found for found in attempts if found), None)
    return f"{name}: {text}" if text else UNKNOWN_CAUSE


def _swapped(
    name: str,
    key: TensorKey,
    candidate: Mapping[str, np.ndarray],
    reference_keys: Mapping[str, TensorKey],
) -> str | None:
    """Which other tensor of the reference it contains; None if it is no other."""
    other = next((other for other, there in reference_keys.items() if there == key), None)
    if other is None:
        return None
    both_ways = other in candidate and content_key(candidate[other]) == reference_keys[name]
    layer, _, leaf = name.rpartition(".")
    there, _, role = other.rpartition(".")
    if there == layer:
        other = role
        if both_ways:
            roles = sorted((leaf, role), key=TENSOR_ROLES.index)
            return f"{layer}: {' and '.join(roles)} are exchanged"
    return f"{name}: {'exchanged with' if both_ways else 'holds'} the reference's {other}"


def _rearranged(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if array.shape[0] == array.shape[1]:
        yield "output and input channels are exchanged", array.swapaxes(0, 1)
    if array.ndim == 4:
        yield "the kernel is transposed", array.swapaxes(2, 3)
        yield "the kernel is rotated by 180 degrees", array[:, :, ::-1, ::-1]
    yield "the output channels are in reverse order", array[::-1]
    yield "the input channels are in reverse order", array[:, ::-1]


def _not_finite(array: np.ndarray, _: np.ndarray) -> str | None:
    count = int((~np.isfinite(array)).sum())
    return f"{count} values are NaN or Inf" if count else None


def _never_loaded(array: np.ndarray, _: np.ndarray) -> str | None:
    for value in (0, 1):
        if array.size > 1 and (array == value).all():
            return f"never loaded: every value is {value}"
    return None


def _one_value_off(array: np.ndarray, reference: np.ndarray) -> str | None:
    differing = np.argwhere(array != reference)
    if len(differing) == 1:
        where = tuple(differing[0])
        factor = (
            format_factor(float(array[where]) / float(reference[where]))
            if reference[where]
            else "inf"
        )
        return f"one value is off, at {[int(n) for n in where]}, by a factor of {factor}"
    return None


def _permuted(array: np.ndarray, reference: np.ndarray) -> str | None:
    """Whole channels in another order."""
    kinds: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
        ("output channels", lambda a: a),
        ("input channels", lambda a: a.swapaxes(0, 1)),
    )
    for what, view in kinds[: array.ndim]:
        if array.ndim == 1 and what == "input channels":
            continue
        found, expected = (view(a).reshape(view(a).shape[0], -1) for a in (array, reference))
        moved = np.flatnonzero((found != expected).any(axis=1))
        if len(moved) < 2:
            continue
        positions = {channel.tobytes(): i for i, channel in reversed(list(enumerate(expected)))}
        sources = [positions.get(found[i].tobytes()) for i in moved]
        if None not in sources:
            pairs = ", ".join(
                f"{i} is the reference's {source}"
                for i, source in zip(moved[:3], sources, strict=False)
            )
            more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
            return f"{what} are in another order: {pairs}{more}"
    return None


def _scaled(array: np.ndarray, reference: np.ndarray) -> str | None:
    factor = common_factor(array, reference)
    return f"all values are off by a factor of {format_factor(factor)}" if factor else None


def common_factor(array: np.ndarray, reference: np.ndarray) -> float | None:
    """The one factor between two arrays with the same zeros; None if there is none."""
    there = reference != 0
    if not there.any() or array[~there].any():
        return None
    ratios = array[there].astype(np.float64) / reference[there]
    factor = float(np.median(ratios))
    return factor if factor and abs(ratios / factor - 1).max() < SAME_FACTOR else None


def format_factor(factor: float) -> str:
    """A factor with enough digits to be distinct from 1."""
    digits = range(6, 18)
    shown = (f"{factor:.{count}g}" for count in digits)
    return next((text for text in shown if float(text) != 1), "1")


def _rounded(array: np.ndarray, reference: np.ndarray) -> str | None:
    return next(
        (what for what, half in half_precisions(reference) if np.array_equal(array, half)), None
    )


def half_precisions(reference: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The tensor rounded to each 16-bit format, with a description."""
    with np.errstate(over="ignore"):
        yield "rounded to float16", reference.astype(np.float16).astype(np.float32)
    bits = np.ascontiguousarray(reference, np.float32).view(np.uint32)
    to_nearest = bits + 0x7FFF + ((bits >> 16) & 1)
    for what, shortened in (("rounded", to_nearest), ("truncated", bits)):
        yield (
            f"{what} to bfloat16",
            (shortened & 0xFFFF0000).astype(np.uint32).view(np.float32).reshape(reference.shape),
        )


ATTEMPTS = (_not_finite, _never_loaded, _one_value_off, _permuted, _scaled, _rounded)
