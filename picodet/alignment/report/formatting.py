"""How a comparison is put into words and numbers, for the terminal and for the page alike."""

import math

from picodet.alignment.result import Comparison, Difference, Layer


def verdict(comparison: Comparison) -> str:
    """ALIGNED, DIFFERS: .. or NOT COMPARED: .., as the headline says it."""
    if comparison.aligned:
        return "ALIGNED"
    if guilty := len(comparison.guilty):
        return f"DIFFERS: {guilty} guilty layer{'s' if guilty > 1 else ''}"
    differing = [stage.name for stage in comparison.stages if stage.verdict == "differs"]
    if differing:
        return f"DIFFERS: {', '.join(differing)}"
    open_stages = [stage.name for stage in comparison.stages if stage.verdict == "not compared"]
    return "NOT COMPARED" + (f": {', '.join(open_stages)}" if open_stages else "")


def format_number(value: float, digits: int = 3) -> str:
    """3.1e-07; 0 is only said of a true zero."""
    return f"{value:.{digits}g}"


def format_distinct(first: float, second: float) -> tuple[str, str]:
    """Two values, with as many digits as it takes to see that they are not the same."""
    for digits in range(7, 18):
        shown = f"{first:.{digits}g}", f"{second:.{digits}g}"
        if shown[0] != shown[1]:
            break
    return shown


def format_short(error: float) -> str:
    """For columns: two digits, one width."""
    return f"{error:.1e}" if error and math.isfinite(error) else format_number(error)


def times_noise(difference: Difference) -> str:
    """How many times the noise."""
    ratio = difference.error_over_noise
    if not math.isfinite(ratio):
        return format_number(ratio)
    if ratio < 1000:
        return f"{ratio:.{1 if 0 < ratio < 10 else 0}f}"
    mantissa, exponent = f"{ratio:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def format_index(index: tuple[int, ...]) -> str:
    """[0, 17, 3, 40]; a tensor without dimensions has [] only."""
    return f"[{', '.join(str(i) for i in index)}]"


def layer_name(layer: Layer) -> str:
    """The path, and the call where it is not the first."""
    return (layer.path or "the whole model") + (f", call {layer.call}" if layer.call else "")


def describe_difference(difference: Difference | None) -> str:
    """In one line."""
    if difference is None:
        return "not compared"
    if difference.problem:
        return difference.problem
    error, allowed = format_number(difference.error), format_number(difference.allowed)
    return f"{error}, {times_noise(difference)} times the noise; allowed {allowed}"


def measurements(difference: Difference) -> tuple[tuple[str, str], ...]:
    """Everything that is known of a gap but its problem, which makes most of it meaningless."""
    sizes = (
        ("error", format_number(difference.error)),
        ("times the noise", times_noise(difference)),
        ("noise floor", format_number(difference.floor)),
        ("allowed", format_number(difference.allowed)),
        ("greatest value", format_number(difference.scale)),
    )
    values = (
        ("at", format_index(difference.index)),
        ("ours", format_number(difference.ours, digits=9)),
        ("reference", format_number(difference.reference, digits=9)),
    )
    if not difference.problem:
        return sizes + values
    return values if difference.index else ()  # of another shape or dtype: no place is the worst
