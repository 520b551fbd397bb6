"""What the tensors tell, what the file's name tells and what the user says -> one config.

Tensors tell the architecture. The input size and the names of the classes come from the user,
else from the file's name, else they are assumed, and that is said.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from picodet.class_names import COCO
from picodet.config import CONFIGS, SIDE_MULTIPLE, ModelConfig
from picodet.converter.recognise import Recognised, Shape, recognise_detector
from picodet.errors import ConversionError

OFFICIAL_NAME = re.compile(r"(picodet_[a-z]+)_(\d{3,4})(_(?:coco|voc|pedestrian))?(?![a-z\d])")


@dataclass(frozen=True)
class Wanted:
    """What the user says of a checkpoint; None is left to the tensors and the file's name."""

    config: str | None = None  # an official name
    input_size: tuple[int, int] | None = None  # height, width
    classes: tuple[str, ...] | None = None


def configure(
    shapes: Mapping[str, Shape], source: Path, wanted: Wanted
) -> tuple[ModelConfig, tuple[str, ...]] | None:
    """The config of a detector, and notes on what was assumed; None if it is no PicoDet.

    Raises ConversionError where the user and the tensors contradict each other.
    """
    found = recognise_detector(shapes)
    if found is None:
        return None
    notes: list[str] = []
    official = _official(found, source, wanted, notes)
    classes = _classes(found, official, wanted, notes)
    input_size = _input_size(official, source, wanted, notes)
    config = replace(
        found.family,
        classes=classes,
        input_size=input_size,
        head_convs=found.head_convs,
        reg_max=found.reg_max,
    )
    return replace(config, name=_name(config)), tuple(notes)


def _official(
    found: Recognised, source: Path, wanted: Wanted, notes: list[str]
) -> ModelConfig | None:
    """The config that the user or else the file names; the user's must agree with the tensors."""
    if wanted.config is not None:
        if wanted.config not in CONFIGS:
            near = get_close_matches(wanted.config, CONFIGS, n=3) or list(CONFIGS)
            raise ConversionError(
                f"--config {wanted.config}: no such config; did you mean {', '.join(near)}?"
            )
        config = CONFIGS[wanted.config]
        if wanted.classes is not None:
            config = replace(config, classes=wanted.classes)
        if found != Recognised.of(config):
            raise ConversionError(
                f"{source}: the tensors contradict --config {wanted.config}. They are of {found}; "
                f"the config is {Recognised.of(config)}. Leave --config out, or name another"
            )
        return config
    match = OFFICIAL_NAME.search(source.stem)
    named = CONFIGS.get(match[0]) if match else None
    if match and match[1] != found.family.name:
        notes.append(f"the file is named {match[1]}, its tensors are of {found.family.name}")
    return named if named and found == Recognised.of(named) else None


def _classes(
    found: Recognised, official: ModelConfig | None, wanted: Wanted, notes: list[str]
) -> tuple[str, ...]:
    if wanted.classes is not None:
        if len(wanted.classes) != found.num_classes:
            raise ConversionError(
                f"--classes names {len(wanted.classes)} classes, the tensors have "
                f"{found.num_classes}; one name per line is expected"
            )
        return wanted.classes
    if official is not None:
        return official.classes
    if found.num_classes == len(COCO):
        return COCO
    notes.append("the classes are numbered: the tensors do not name them, --classes FILE does")
    return tuple(f"class {i}" for i in range(found.num_classes))


def _input_size(
    official: ModelConfig | None, source: Path, wanted: Wanted, notes: list[str]
) -> tuple[int, int]:
    match = OFFICIAL_NAME.search(source.stem)
    if wanted.input_size is not None:
        size = wanted.input_size
    elif official is not None:
        size = official.input_size
    elif match:
        size = (int(match[2]), int(match[2]))
    else:
        size = (416, 416)
        notes.append(
            "the input size 416 is assumed: the tensors do not tell it, nor does the file's name; "
            "--input-size does"
        )
    if any(side % SIDE_MULTIPLE for side in size):
        raise ConversionError(
            f"input size {size[0]}x{size[1]}: both sides must be multiples of {SIDE_MULTIPLE}; "
            "--input-size sets them"
        )
    return size


def _name(config: ModelConfig) -> str:
    for official in CONFIGS.values():
        if replace(config, name=official.name) == official:
            return official.name
    height, width = config.input_size
    return f"{config.name}_{height}" + (f"x{width}" if width != height else "")
