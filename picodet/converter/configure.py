"""What the tensors tell, what the file's name tells and what the user says -> one config.

Tensors tell the architecture. The input size and the names of the classes come from the user,
else from what the file says or is called, else they are assumed, and that is said.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from picodet.config import ModelConfig, Preprocessing, check_input_size
from picodet.converter.names.recognize import Recognised
from picodet.errors import ConversionError
from picodet.zoo.class_names import COCO, numbered
from picodet.zoo.official import CONFIGS

Size = tuple[int, int]  # height, width
# "picodet_s_320_coco_lcnet" and whatever else begins with the family's name and has a size in it
NAME = re.compile(r"picodet_[a-z\d_]*?_(?P<height>\d{3,4})(x(?P<width>\d{3,4}))?(?!\d)\w*")
DEFAULT_SIZE = (416, 416)


@dataclass(frozen=True)
class Wanted:
    """What the user says of a checkpoint; None is left to the tensors and the file's name."""

    config: str | None = None  # an official name
    input_size: Size | None = None
    classes: tuple[str, ...] | None = None
    # asks for a size where official models with these tensors have several, for want of anything
    # that tells it; without, the first of them is assumed
    ask: Callable[[tuple[Size, ...]], Size] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Said:
    """What a file says of itself beside its tensors; None for what it does not."""

    name: str  # what it is called, without a suffix
    input_size: Size | None = None
    classes: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class Configured:
    """The config of a detector, and what had to be assumed, with the option that says otherwise."""

    config: ModelConfig
    notes: tuple[str, ...]


def configure(found: Recognised, said: Said, wanted: Wanted) -> Configured:
    """The config of recognised tensors.

    Raises ConversionError where the user and the tensors contradict each other.
    """
    hint = _hint(said.name)
    official = _named_by_user(found, said, wanted) or _named_by_file(found, said)
    classes, classes_note = _classes(found, said, official, wanted)
    input_size, size_note = _input_size(found, said, official, hint, wanted)
    config = replace(
        found.variant,
        classes=classes,
        input_size=input_size,
        head_convs=found.head_convs,
        reg_max=found.reg_max,
        preprocessing=said.preprocessing or (official or found.variant).preprocessing,
    )
    notes = [note for note in (_name_note(found, said), classes_note, size_note) if note]
    return Configured(replace(config, name=_name(config, official)), tuple(notes))


def adjusted(config: ModelConfig, wanted: Wanted) -> ModelConfig:
    """The config of a file that says everything, with what the user says otherwise.

    Raises ConversionError where its weights do not allow it.
    """
    if wanted.config is not None:
        raise ConversionError(
            f"--config {wanted.config}: the file says itself that it is {config.name}"
        )
    classes, size = wanted.classes or config.classes, wanted.input_size or config.input_size
    _check_count(classes, len(config.classes))
    _check_size(size)
    changed = replace(config, classes=classes, input_size=size)
    return config if changed == config else replace(changed, name=_name(changed, None))


def _named_by_user(found: Recognised, said: Said, wanted: Wanted) -> ModelConfig | None:
    name, classes = wanted.config, wanted.classes
    if name is None:
        return None
    if name not in CONFIGS:
        near = get_close_matches(name, CONFIGS, n=3) or list(CONFIGS)
        raise ConversionError(f"--config {name}: no such config; did you mean {', '.join(near)}?")
    config = CONFIGS[name] if classes is None else replace(CONFIGS[name], classes=classes)
    if found != Recognised.of(config):
        raise ConversionError(
            f"{said.name}: the tensors contradict --config {name}. They are of {found}; the config "
            f"is {Recognised.of(config)}. Leave --config out, or name another"
        )
    return config


def _named_by_file(found: Recognised, said: Said) -> ModelConfig | None:
    """The official config that the file is called after, if its tensors are that config's."""
    fitting = [config for config in CONFIGS.values() if found == Recognised.of(config)]
    by_name = [config for config in fitting if config.name in said.name]
    return max(by_name, key=lambda config: len(config.name), default=None)


def _name_note(found: Recognised, said: Said) -> str | None:
    """What the file's name says wrongly of the tensors."""
    named = [config for name, config in CONFIGS.items() if name in said.name]
    if not named or any(found == Recognised.of(config) for config in named):
        return None
    best = max(named, key=lambda config: len(config.name))
    return f"the file is named {best.name}, its tensors are of {found}"


def _classes(
    found: Recognised, said: Said, official: ModelConfig | None, wanted: Wanted
) -> tuple[tuple[str, ...], str | None]:
    if wanted.classes is not None:
        _check_count(wanted.classes, found.num_classes)
        return wanted.classes, None
    wrong = None
    if said.classes is not None:
        if len(said.classes) == found.num_classes:
            return said.classes, None
        wrong = (
            f"{said.name} lists {len(said.classes)} classes, its tensors have {found.num_classes}: "
            "the list was left out"
        )
    if official is not None:
        return official.classes, wrong
    if found.num_classes == len(COCO):
        return COCO, wrong
    note = "the classes are numbered: the tensors do not name them, --classes FILE does"
    return numbered(found.num_classes), f"{wrong}; {note}" if wrong else note


def _input_size(
    found: Recognised,
    said: Said,
    official: ModelConfig | None,
    hint: re.Match[str] | None,
    wanted: Wanted,
) -> tuple[Size, str | None]:
    note = None
    known = said.input_size or (official.input_size if official else None)
    if wanted.input_size is not None:
        size = wanted.input_size
        if wanted.config and official and official.input_size != size:
            note = f"--input-size replaces the {official.input_size[0]} of {wanted.config}"
    elif known is not None:
        size = known
    elif hint:
        size = _size_of(hint)
    else:
        size, note = _assumed_size(found, wanted)
    _check_size(size)
    return size, note


def _check_count(classes: tuple[str, ...], expected: int) -> None:
    if len(classes) != expected:
        raise ConversionError(
            f"--classes names {len(classes)} classes, the tensors have {expected}; one name per "
            "line is expected"
        )


def _check_size(size: Size) -> None:
    try:
        check_input_size(size)
    except ValueError as error:
        raise ConversionError(f"{error}; --input-size sets them") from error


def _assumed_size(found: Recognised, wanted: Wanted) -> tuple[Size, str | None]:
    """What the official models with these tensors take."""
    fitting = [c for c in CONFIGS.values() if found == Recognised.of(c)]
    fitting = fitting or [c for c in CONFIGS.values() if Recognised.of(c).variant == found.variant]
    sizes = tuple(dict.fromkeys(config.input_size for config in fitting))
    if wanted.ask is not None and len(sizes) > 1:
        return wanted.ask(sizes), None
    size = DEFAULT_SIZE if DEFAULT_SIZE in sizes or not sizes else sizes[0]
    return size, (
        f"the input size {_text(size)} is assumed: the tensors do not tell it, nor does the file's "
        "name; --input-size does"
    )


def _hint(name: str) -> re.Match[str] | None:
    """The family's name and a size; another number, such as a year, is none."""
    hint = NAME.search(name)
    try:
        check_input_size(_size_of(hint) if hint else (0, 0))
    except ValueError:
        return None
    return hint


def _size_of(hint: re.Match[str]) -> Size:
    return int(hint["height"]), int(hint["width"] or hint["height"])


def _text(size: Size) -> str:
    return f"{size[0]}" + (f"x{size[1]}" if size[1] != size[0] else "")


def _name(config: ModelConfig, official: ModelConfig | None) -> str:
    """An official one only where everything is as there."""
    for known in (*([official] if official else []), *CONFIGS.values()):
        if replace(config, name=known.name) == known:
            return known.name
    return f"{config.name}_{_text(config.input_size)}"
