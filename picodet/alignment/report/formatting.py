"""How a comparison is put into words and numbers, for the terminal and for the page alike."""

import math

from picodet.alignment.result import Comparison, Gap, Layer


def verdict(comparison: Comparison) -> str:
    """ALIGNED, DIFFERS: .. or NOT COMPARED: .., as the headline says it."""
    if comparison.aligned:
        return "ALIGNED"
    if guilty := len(comparison.guilty):
        return f"DIFFERS: {guilty} guilty layer{'s' if guilty > 1 else ''}"
    differing = [rung.name for rung in comparison.rungs if rung.verdict == "differs"]
    if differing:
        return f"DIFFERS: {', '.join(differing)}"
    open_rungs = [rung.name for rung in comparison.rungs if rung.verdict == "not compared"]
    return "NOT COMPARED" + (f": {', '.join(open_rungs)}" if open_rungs else "")


def number(value: float, digits: int = 3) -> str:
    """3.1e-07; 0 is only said of a true zero."""
    return f"{value:.{digits}g}"


def apart(first: float, second: float) -> tuple[str, str]:
    """Two values, with as many digits as it takes to see that they are not the same."""
    for digits in range(7, 18):
        shown = f"{first:.{digits}g}", f"{second:.{digits}g}"
        if shown[0] != shown[1]:
            break
    return shown


def short(error: float) -> str:
    """For columns: two digits, one width."""
    return f"{error:.1e}" if error and math.isfinite(error) else number(error)


def times(gap: Gap) -> str:
    """How many times the noise."""
    ratio = gap.over_floor
    if not math.isfinite(ratio):
        return number(ratio)
    if ratio < 1000:
        return f"{ratio:.{1 if 0 < ratio < 10 else 0}f}"
    mantissa, exponent = f"{ratio:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def position(index: tuple[int, ...]) -> str:
    """[0, 17, 3, 40]; a tensor without dimensions has [] only."""
    return f"[{', '.join(str(i) for i in index)}]"


def name(layer: Layer) -> str:
    """The path, and the call where it is not the first."""
    return (layer.path or "the whole model") + (f", call {layer.call}" if layer.call else "")


def in_words(gap: Gap | None) -> str:
    """In one line."""
    if gap is None:
        return "not compared"
    if gap.problem:
        return gap.problem
    return f"{number(gap.error)}, {times(gap)} times the noise; allowed {number(gap.allowed)}"


def measures(gap: Gap) -> tuple[tuple[str, str], ...]:
    """Everything that is known of a gap but its problem, which makes most of it meaningless."""
    sizes = (
        ("error", number(gap.error)),
        ("times the noise", times(gap)),
        ("noise floor", number(gap.floor)),
        ("allowed", number(gap.allowed)),
        ("greatest value", number(gap.scale)),
    )
    values = (
        ("at", position(gap.index)),
        ("ours", number(gap.ours, digits=9)),
        ("reference", number(gap.reference, digits=9)),
    )
    if not gap.problem:
        return sizes + values
    return values if gap.index else ()  # of another shape or dtype: no place is the worst
