"""Combines tensors, file name and options into one config.

The tensors determine the architecture. The input size and the class names come from the options,
else from the file's contents or name; otherwise they are assumed, which the report notes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from picodet.config import (
    ModelConfig,
    Preprocessing,
    check_input_size,
)
from picodet.converter.activations import Activations, with_activations
from picodet.converter.names.recognize import RecognizedModel
from picodet.errors import ConversionError
from picodet.zoo.class_names import COCO, default_class_names
from picodet.zoo.official import CONFIGS

Size = tuple[int, int]  # height, width
# "picodet_s_320_coco_lcnet" and whatever else begins with the family's name and has a size in it
NAME_WITH_SIZE = re.compile(
    r"picodet_[a-z\d_]*?_(?P<height>\d{3,4})(x(?P<width>\d{3,4}))?(?!\d)\w*"
)
DEFAULT_SIZE = (416, 416)


@dataclass(frozen=True)
class ConvertOptions:
    """Options for a checkpoint; None leaves the choice to the tensors and the file's name."""

    config: str | None = None  # an official name
    input_size: Size | None = None
    classes: tuple[str, ...] | None = None
    # asks for a size if official models with these tensors have several and nothing else states
    # it; without it, 416 or the first of them is assumed
    ask_for_size: Callable[[tuple[Size, ...]], Size] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class FileHints:
    """Facts that a file states besides its tensors; None for what it does not state."""

    name: str  # of the file or folder, without a suffix
    input_size: Size | None = None
    classes: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    model_name: str | None = None  # in settings of PaddleX


@dataclass(frozen=True)
class ResolvedConfig:
    """The config of a detector, and notes on what was assumed and which option changes it."""

    config: ModelConfig
    notes: tuple[str, ...]


def resolve_config(
    recognized: RecognizedModel,
    hints: FileHints,
    options: ConvertOptions,
    activations: Activations = Activations(),  # noqa: B008 (immutable)
) -> ResolvedConfig:
    """The config of recognized tensors.

    Raises ConversionError where the options contradict the tensors.
    """
    size_match = _match_size_in_name(hints.name)
    official = _named_by_user(recognized, hints, options) or _named_by_file(recognized, hints)
    classes, classes_note = _classes(recognized, hints, official, options)
    input_size, size_note = _input_size(recognized, hints, official, size_match, options)
    config = replace(
        official or recognized.variant,  # which may differ in their activations
        name=recognized.variant.name,
        classes=classes,
        input_size=input_size,
        head_convs=recognized.head_convs,
        reg_max=recognized.reg_max,
        preprocessing=hints.preprocessing or (official or recognized.variant).preprocessing,
    )
    config = with_activations(config, activations)
    notes = [note for note in (_name_note(recognized, hints), classes_note, size_note) if note]
    return ResolvedConfig(replace(config, name=_config_name(config, official)), tuple(notes))


def override_config(config: ModelConfig, options: ConvertOptions) -> ModelConfig:
    """The config of a self-describing file, changed by the options.

    Raises ConversionError where the weights do not allow the change.
    """
    if options.config is not None:
        raise ConversionError(
            f"--config {options.config}: the file states that it is {config.name}; leave the "
            "option out"
        )
    classes, size = options.classes or config.classes, options.input_size or config.input_size
    _check_count(classes, len(config.classes))
    _check_size(size)
    changed = replace(config, classes=classes, input_size=size)
    return config if changed == config else replace(changed, name=_config_name(changed, None))


def _named_by_user(
    recognized: RecognizedModel, hints: FileHints, options: ConvertOptions
) -> ModelConfig | None:
    name, classes = options.config, options.classes
    if name is None:
        return None
    if name not in CONFIGS:
        near = get_close_matches(name, CONFIGS, n=3) or list(CONFIGS)
        raise ConversionError(f"--config {name}: no such config; did you mean {', '.join(near)}?")
    config = CONFIGS[name] if classes is None else replace(CONFIGS[name], classes=classes)
    if recognized != RecognizedModel.of(config):
        raise ConversionError(
            f"{hints.name}: the tensors contradict --config {name}: they are those of "
            f"{recognized}; the config is {RecognizedModel.of(config)}. Leave --config out, or "
            "name another"
        )
    return config


def _named_by_file(recognized: RecognizedModel, hints: FileHints) -> ModelConfig | None:
    """The official config that the file is named after, if its tensors match that config."""
    by_name = [config for config in _named(hints) if recognized == RecognizedModel.of(config)]
    return max(by_name, key=lambda config: len(config.name), default=None)


def _named(hints: FileHints) -> list[ModelConfig]:
    """The official configs that the settings name, or else the file's name contains."""
    if hints.model_name in CONFIGS:
        return [CONFIGS[hints.model_name]]
    whole = "(?![A-Za-z0-9])"  # PicoDet-Sea is no PicoDet-S
    return [
        config for name, config in CONFIGS.items() if re.search(re.escape(name) + whole, hints.name)
    ]


def _name_note(recognized: RecognizedModel, hints: FileHints) -> str | None:
    """A note if the file's name contradicts its tensors."""
    named = _named(hints)
    if not named or any(recognized == RecognizedModel.of(config) for config in named):
        return None
    best = max(named, key=lambda config: len(config.name))
    if best.name == hints.model_name:
        of_other_classes = replace(RecognizedModel.of(best), num_classes=recognized.num_classes)
        if recognized == of_other_classes:  # PaddleX keeps the name of what it has fine-tuned
            return None
        return f"its settings name {best.name}, but its tensors are those of {recognized}"
    return f"the file is named {best.name}, but its tensors are those of {recognized}"


def _classes(
    recognized: RecognizedModel,
    hints: FileHints,
    official: ModelConfig | None,
    options: ConvertOptions,
) -> tuple[tuple[str, ...], str | None]:
    if options.classes is not None:
        _check_count(options.classes, recognized.num_classes)
        return options.classes, None
    wrong = None
    if hints.classes is not None:
        if len(hints.classes) == recognized.num_classes:
            return hints.classes, None
        wrong = (
            f"{hints.name} lists {len(hints.classes)} classes, its tensors have "
            f"{recognized.num_classes}: the list was ignored"
        )
    if official is not None:
        return official.classes, wrong
    if recognized.num_classes == len(COCO):
        return COCO, wrong
    note = "the class names are unknown, so the classes are numbered; --classes FILE sets them"
    return default_class_names(recognized.num_classes), f"{wrong}; {note}" if wrong else note


def _input_size(
    recognized: RecognizedModel,
    hints: FileHints,
    official: ModelConfig | None,
    size_match: re.Match[str] | None,
    options: ConvertOptions,
) -> tuple[Size, str | None]:
    note = None
    known = hints.input_size or (official.input_size if official else None)
    if options.input_size is not None:
        size = options.input_size
        if options.config and official and official.input_size != size:
            note = f"--input-size replaces the {official.input_size[0]} of {options.config}"
    elif known is not None:
        size = known
    elif size_match:
        size = _size_of(size_match)
    else:
        size, note = _assumed_size(recognized, options)
    _check_size(size)
    return size, note


def _check_count(classes: tuple[str, ...], expected: int) -> None:
    if len(classes) != expected:
        raise ConversionError(
            f"--classes: {len(classes)} names found; the tensors have {expected} classes; expected "
            "one name per line"
        )


def _check_size(size: Size) -> None:
    try:
        check_input_size(size)
    except ValueError as error:
        raise ConversionError(f"{error}; set them with --input-size") from error


def _assumed_size(recognized: RecognizedModel, options: ConvertOptions) -> tuple[Size, str | None]:
    """The input size of the official models with these tensors, and a note if it is assumed."""
    fitting = [c for c in CONFIGS.values() if recognized == RecognizedModel.of(c)]
    fitting = fitting or [
        c for c in CONFIGS.values() if RecognizedModel.of(c).variant == recognized.variant
    ]
    sizes = tuple(dict.fromkeys(config.input_size for config in fitting))
    if options.ask_for_size is not None and len(sizes) > 1:
        return options.ask_for_size(sizes), None
    size = DEFAULT_SIZE if DEFAULT_SIZE in sizes or not sizes else sizes[0]
    return size, (
        f"the input size {_size_text(size)} is assumed: neither the tensors nor the file's name "
        "state it; --input-size sets it"
    )


def _match_size_in_name(name: str) -> re.Match[str] | None:
    """The match of family name and input size; None if the number, such as a year, is no size."""
    size_match = NAME_WITH_SIZE.search(name)
    try:
        check_input_size(_size_of(size_match) if size_match else (0, 0))
    except ValueError:
        return None
    return size_match


def _size_of(size_match: re.Match[str]) -> Size:
    return int(size_match["height"]), int(size_match["width"] or size_match["height"])


def _size_text(size: Size) -> str:
    return f"{size[0]}" + (f"x{size[1]}" if size[1] != size[0] else "")


def _config_name(config: ModelConfig, official: ModelConfig | None) -> str:
    """An official name only if the whole config equals the official one."""
    for known in (*([official] if official else []), *CONFIGS.values()):
        if replace(config, name=known.name) == known:
            return known.name
    return f"{config.name}_{_size_text(config.input_size)}"
