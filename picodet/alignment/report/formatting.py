"""Words and numbers of a comparison, shared by the terminal and the page."""

import math

from picodet.alignment.result import Comparison, Difference, Layer


def verdict(comparison: Comparison) -> str:
    """The headline: ALIGNED, DIFFERS: .. or NOT COMPARED: .."""
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
    """A number such as 3.1e-07; "0" stands for exact zero only."""
    return f"{value:.{digits}g}"


def format_distinct(first: float, second: float) -> tuple[str, str]:
    """Two values with as many digits as make them distinct."""
    for digits in range(7, 18):
        shown = f"{first:.{digits}g}", f"{second:.{digits}g}"
        if shown[0] != shown[1]:
            break
    return shown


def format_short(error: float) -> str:
    """An error for a column: two digits, one width."""
    return f"{error:.1e}" if error and math.isfinite(error) else format_number(error)


def times_noise(difference: Difference) -> str:
    """Error over noise, such as 3.1, 250 or 1.2e5."""
    ratio = difference.error_over_noise
    if not math.isfinite(ratio):
        return format_number(ratio)
    if ratio < 1000:
        return f"{ratio:.{1 if 0 < ratio < 10 else 0}f}"
    mantissa, exponent = f"{ratio:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def format_index(index: tuple[int, ...]) -> str:
    """[0, 17, 3, 40]; [] for a tensor without dimensions."""
    return f"[{', '.join(str(i) for i in index)}]"


def layer_name(layer: Layer) -> str:
    """The path, with the number of the call where it is not the first."""
    return (layer.path or "the whole model") + (f", call {layer.call}" if layer.call else "")


def describe_difference(difference: Difference | None) -> str:
    """A difference in one line."""
    if difference is None:
        return "not compared"
    if difference.problem:
        return difference.problem
    error, allowed = format_number(difference.error), format_number(difference.allowed)
    return f"{error}, {times_noise(difference)} times the noise; allowed {allowed}"


def measurements(difference: Difference) -> tuple[tuple[str, str], ...]:
    """Labels and values of a difference; few where it has a problem, as most mean nothing then."""
    sizes = (
        ("error", format_number(difference.error)),
        ("times the noise", times_noise(difference)),
        ("noise floor", format_number(difference.floor)),
        ("allowed", format_number(difference.allowed)),
        ("greatest value", format_number(difference.scale)),
    )
    values = (
        ("at", format_index(difference.index)),
        ("model", format_number(difference.model, digits=9)),
        ("reference", format_number(difference.reference, digits=9)),
    )
    if not difference.problem:
        return sizes + values
    return values if difference.index else ()  # of another shape or dtype: no worst element
