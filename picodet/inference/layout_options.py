"""The options of PaddleX's post-processing of layouts, by class name, as a user gives them.

In PaddleX they are arguments of its layout detection and keys of its pipelines' YAML files
(paddlex/configs/pipelines/PP-StructureV3.yaml), by the number of a class.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from picodet.errors import PicoDetError, one_line
from picodet.formats.settings.layout_settings import read_layout_settings
from picodet.inference.backend import ModelSpec
from picodet.ops.layout import MERGE_MODES, LayoutSettings, MergeMode, Ratio

# `draw_threshold` in the inference.yml of the published layout models, and what PaddleX takes for a
# file without it and for a class that is missing in thresholds by class. These files set no NMS, no
# unclipping and no merging (paddlex/inference/models/object_detection/predictor.py:341-353).
DEFAULT_THRESHOLD = 0.5
OTHERS = "*"  # key for all classes that are not named
FILE_KEYS = {  # of PaddleX's YAML: name of the option
    "threshold": "threshold",
    "layout_nms": "nms",
    "layout_unclip_ratio": "unclip",
    "layout_merge_bboxes_mode": "merge",
}
MAX_RATIO = 100.0  # of unclipping
Key = str | int  # name of a class, or its number


@dataclass(frozen=True)
class LayoutOptions:
    """Thresholds, NMS, unclipping and merging of layouts; the defaults are PaddleX's.

    Each is one value for all classes, or a mapping from names of classes (or their numbers, as in
    PaddleX) to values, in which "*" stands for all others. Raises PicoDetError for other values.
    """

    threshold: float | Mapping[Key, float] = DEFAULT_THRESHOLD  # a greater score stays
    nms: bool = False  # suppress regions by IoU: 0.6 within a class, 0.98 between classes
    # sides are multiplied by it: one number, or those of width and height
    unclip: float | Ratio | Mapping[Key, float | Ratio] | None = None
    # of regions that lie in others keep all, the outer ("large") or the inner ones ("small")
    merge: MergeMode | Mapping[Key, MergeMode] = "union"

    def __post_init__(self) -> None:
        if not isinstance(self.nms, bool):
            raise _wrong("nms", self.nms, "true or false")
        for option, read in READERS.items():
            for value in _by_key(getattr(self, option)).values():
                read(option, value)

    def for_model(self, spec: ModelSpec) -> LayoutSettings:
        """The settings for a model's classes. Raises PicoDetError for a class it does not have."""
        names = spec.classes
        if names is None:
            raise PicoDetError(
                f"{spec.name}: does not name its classes, which paddlex-layout goes by; use a file "
                "that does: the folder with its inference.yml, or what picodet-convert writes"
            )
        unclip = self._of_classes("unclip", None, spec.name, names)
        merge = self._of_classes("merge", "union", spec.name, names)
        return LayoutSettings(
            classes=names,
            thresholds=self._of_classes("threshold", DEFAULT_THRESHOLD, spec.name, names),
            nms=self.nms,
            unclip=None if set(unclip) <= {None} else unclip,
            merge=merge if isinstance(self.merge, Mapping) else self.merge,
        )

    def _of_classes(
        self, option: str, default: Any, model: str, names: Sequence[str]
    ) -> tuple[Any, ...]:
        given = dict(_by_key(getattr(self, option)))
        read = READERS[option]
        values = [read(option, given.pop(OTHERS)) if OTHERS in given else default] * len(names)
        set_by: dict[int, Key] = {}
        for key, value in given.items():
            index = _index(key, names)
            if index is None:
                raise PicoDetError(
                    f"layout {option}: {model} has no class {key!r}; expected one of "
                    f"{', '.join(names)}, or a number below {len(names)}"
                )
            if index in set_by:
                raise PicoDetError(
                    f"layout {option}: {set_by[index]!r} and {key!r} are the same class; give it "
                    "once"
                )
            set_by[index] = key
            values[index] = read(option, value)
        return tuple(values)


def options_from_text(
    threshold: Sequence[str],
    nms: bool | None,
    unclip: Sequence[str],
    merge: Sequence[str],
    file: Path | None = None,
) -> LayoutOptions:
    """Options as a command line gives them; what is not given is that of the file, or PaddleX's.

    Each text is VALUE, for all classes that are not named, or CLASS=VALUE. An unclip ratio is 1.1,
    or 1.1x1.2 for width and height. Raises PicoDetError.
    """
    values = {} if file is None else _values_of(file)
    for option, texts, convert in (
        ("threshold", threshold, _number),
        ("unclip", unclip, _ratio_of_text),
        ("merge", merge, str),
    ):
        if texts:
            values[option] = _parse(option, texts, convert)
    if nms is not None:
        values["nms"] = nms
    return LayoutOptions(**values)


def _parse(option: str, texts: Sequence[str], convert: Callable[[str], Any]) -> Any:
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        key = name if equals else OTHERS
        if key in values:
            raise PicoDetError(f"layout {option}: {key!r} is given twice; give it once")
        values[key] = convert(value)
    return values[OTHERS] if list(values) == [OTHERS] else values


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text  # refused by the reader, with what it expects


def _ratio_of_text(text: str) -> Any:
    parts = [_number(part) for part in text.split("x")]
    return parts[0] if len(parts) == 1 else tuple(parts)


def _values_of(file: Path) -> dict[str, Any]:
    """The options that a file sets, by name. Raises PicoDetError."""
    content = read_layout_settings(file, tuple(FILE_KEYS))
    values = {FILE_KEYS[key]: value for key, value in content.items() if value is not None}
    try:
        LayoutOptions(**values)
    except PicoDetError as error:
        raise PicoDetError(f"{file}: {error}") from error
    return values


def _by_key(value: Any) -> Mapping[Key, Any]:
    if isinstance(value, Mapping):
        return value
    return {} if value is None else {OTHERS: value}


def _index(key: Key, names: Sequence[str]) -> int | None:
    """The number of a class; None for one that there is not. A name goes before a number."""
    if key in names:
        return names.index(str(key))
    digits = str(key)
    if isinstance(key, bool) or not (digits.isascii() and digits.isdecimal()) or len(digits) > 9:
        return None
    return int(digits) if int(digits) < len(names) else None


def _read_threshold(option: str, value: Any) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise _wrong(option, value, "a number from 0 to 1")
    return float(value)


def _read_ratio(option: str, value: Any) -> Ratio:
    pair = (value, value) if _is_number(value) else value
    is_pair = isinstance(pair, tuple | list) and len(pair) == 2
    if not is_pair or not all(_is_number(ratio) and 0 < ratio <= MAX_RATIO for ratio in pair):
        expected = f"a number above 0 and up to {MAX_RATIO:g}, or two: of width and height"
        raise _wrong(option, value, expected)
    return float(pair[0]), float(pair[1])


def _read_merge(option: str, value: Any) -> MergeMode:
    for mode in MERGE_MODES:
        if value == mode:
            return mode
    raise _wrong(option, value, f"one of {', '.join(MERGE_MODES)}")


READERS: dict[str, Callable[[str, Any], Any]] = {
    "threshold": _read_threshold,
    "unclip": _read_ratio,
    "merge": _read_merge,
}


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _wrong(option: str, value: object, expected: str) -> PicoDetError:
    return PicoDetError(
        f"layout {option}: found {one_line(repr(value))[:100]}; expected {expected}"
    )
