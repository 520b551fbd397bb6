"""What the tensors tell, what the file's name tells and what the user says -> one config.

Tensors tell the architecture. The input size and the names of the classes come from the user,
else from the file's name, else they are assumed, and that is said.
"""

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from picodet.class_names import COCO
from picodet.config import CONFIGS, ModelConfig, check_input_size
from picodet.converter.recognise import Recognised, Shapes, recognise_detector
from picodet.errors import ConversionError

OFFICIAL_NAME = re.compile(
    r"(?P<variant>picodet_[a-z]+)_(?P<side>\d{3,4})(_(?:coco|voc|pedestrian))?(?![a-z\d])"
)


@dataclass(frozen=True)
class Wanted:
    """What the user says of a checkpoint; None is left to the tensors and the file's name."""

    config: str | None = None  # an official name
    input_size: tuple[int, int] | None = None  # height, width
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Configured:
    """The config of a detector, and what had to be assumed, with the option that says otherwise."""

    config: ModelConfig
    notes: tuple[str, ...]


def configure(shapes: Shapes, source: Path, wanted: Wanted) -> Configured | None:
    """The config for the tensors of the file `source`; None if they are no PicoDet's.

    Raises ConversionError where the user and the tensors contradict each other.
    """
    found = recognise_detector(shapes)
    if found is None:
        return None
    hint = OFFICIAL_NAME.search(source.stem)
    official = _named_by_user(found, source, wanted) or _named_by_file(found, hint)
    classes, classes_note = _classes(found, official, wanted)
    input_size, size_note = _input_size(official, hint, wanted)
    config = replace(
        found.variant,
        classes=classes,
        input_size=input_size,
        head_convs=found.head_convs,
        reg_max=found.reg_max,
    )
    notes = [note for note in (_name_note(found, hint), classes_note, size_note) if note]
    return Configured(replace(config, name=_name(config)), tuple(notes))


def _named_by_user(found: Recognised, source: Path, wanted: Wanted) -> ModelConfig | None:
    name, classes = wanted.config, wanted.classes
    if name is None:
        return None
    if name not in CONFIGS:
        near = get_close_matches(name, CONFIGS, n=3) or list(CONFIGS)
        raise ConversionError(f"--config {name}: no such config; did you mean {', '.join(near)}?")
    config = CONFIGS[name] if classes is None else replace(CONFIGS[name], classes=classes)
    if found != Recognised.of(config):
        raise ConversionError(
            f"{source}: the tensors contradict --config {name}. They are of {found}; the config "
            f"is {Recognised.of(config)}. Leave --config out, or name another"
        )
    return config


def _named_by_file(found: Recognised, hint: re.Match[str] | None) -> ModelConfig | None:
    config = CONFIGS.get(hint[0]) if hint else None
    return config if config and found == Recognised.of(config) else None


def _name_note(found: Recognised, hint: re.Match[str] | None) -> str | None:
    """What the file's name says wrongly of the tensors."""
    if hint is None:
        return None
    named = CONFIGS.get(hint[0])
    agrees = hint["variant"] == found.variant.name and (
        named is None or found == Recognised.of(named)
    )
    return None if agrees else f"the file is named {hint[0]}, its tensors are of {found}"


def _classes(
    found: Recognised, official: ModelConfig | None, wanted: Wanted
) -> tuple[tuple[str, ...], str | None]:
    if wanted.classes is not None:
        if len(wanted.classes) != found.num_classes:
            raise ConversionError(
                f"--classes names {len(wanted.classes)} classes, the tensors have "
                f"{found.num_classes}; one name per line is expected"
            )
        return wanted.classes, None
    if official is not None:
        return official.classes, None
    if found.num_classes == len(COCO):
        return COCO, None
    numbered = tuple(f"class {i}" for i in range(found.num_classes))
    note = "the classes are numbered: the tensors do not name them, --classes FILE does"
    return numbered, note


def _input_size(
    official: ModelConfig | None, hint: re.Match[str] | None, wanted: Wanted
) -> tuple[tuple[int, int], str | None]:
    note = None
    if wanted.input_size is not None:
        size = wanted.input_size
        if wanted.config and official and official.input_size != size:
            note = f"--input-size replaces the {official.input_size[0]} of {wanted.config}"
    elif official is not None:
        size = official.input_size
    elif hint:
        size = (int(hint["side"]), int(hint["side"]))
    else:
        size = (416, 416)
        note = (
            "the input size 416 is assumed: the tensors do not tell it, nor does the file's name; "
            "--input-size does"
        )
    try:
        check_input_size(size)
    except ValueError as error:
        raise ConversionError(f"{error}; --input-size sets them") from error
    return size, note


def _name(config: ModelConfig) -> str:
    for official in CONFIGS.values():
        if replace(config, name=official.name) == official:
            return official.name
    height, width = config.input_size
    return f"{config.name}_{height}" + (f"x{width}" if width != height else "")
