"""The fields of a recipe by path, their types and their limits."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from picodet.config import SIZE_DIVISOR, ModelConfig, ResizeKernels, check_input_size
from picodet.training.recipes.schema import Recipe, Size


def leaves(recipe: Recipe) -> dict[str, Any]:
    """Every value by its path, "schedule.base_lr". Of the model: name, input size, resize."""
    return dict(_leaves(recipe, ""))


def _leaves(part: Any, prefix: str) -> list[tuple[str, Any]]:
    if isinstance(part, ModelConfig):
        resize = part.preprocessing.resize
        return [
            ("model", part.name),
            ("model.input_size", part.input_size),
            ("model.resize", resize),
        ]
    found = []
    for field in fields(part):
        path, value = f"{prefix}{field.name}", getattr(part, field.name)
        found += _leaves(value, f"{path}.") if is_dataclass(value) else [(path, value)]
    return found


def with_values(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with other values: path -> value."""
    parts: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        part, _, name = path.rpartition(".")
        parts.setdefault(part, {})[name] = value
    own = parts.pop("", {})
    if kernels := parts.get("model", {}).pop("resize", None):
        numbers = replace(recipe.model.preprocessing, resize=kernels)
        parts["model"]["preprocessing"] = numbers
    nested = {part: replace(getattr(recipe, part), **values) for part, values in parts.items()}
    return replace(recipe, **own, **nested)


MAX_COUNT = 100_000
LIMITS = {  # path: least and greatest value
    "batches.per_gpu": (1, MAX_COUNT),
    "batches.gpus": (1, MAX_COUNT),
    "schedule.base_lr": (1e-9, 100),
    "schedule.epochs": (1, MAX_COUNT),
    "schedule.decay_epochs": (1, MAX_COUNT),
    "schedule.warmup_steps": (0, 10_000_000),
    "schedule.warmup_epochs": (0, MAX_COUNT),
    "schedule.warmup_factor": (0, 1),
    "schedule.end_ratio": (0, 1),
    "schedule.plateau_epochs": (0, MAX_COUNT),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.weight_decay": (0, 1),
    "optimizer.backbone_lr_factor": (0, 1000),
    "ema.decay": (0, 0.9999999),
    "ema.cycle": (1, MAX_COUNT),
    "augmentation.mosaic_epochs": (0, MAX_COUNT),
    "augmentation.flip": (0, 1),
    "assignment.center_radius": (1e-3, 1000),
    "assignment.candidates": (1, MAX_COUNT),
    "assignment.iou_weight": (0, 1000),
    "assignment.class_weight": (0, 1000),
    "assignment.static_epochs": (0, MAX_COUNT),
    "assignment.static_candidates": (1, MAX_COUNT),
    "assignment.anchor_size": (1e-3, 1000),
    "assignment.alpha": (0, 100),
    "assignment.beta": (0, 100),
    "losses.vfl": (0, 1000),
    "losses.giou": (0, 1000),
    "losses.dfl": (0, 1000),
    "snapshot_epochs": (1, MAX_COUNT),
}
TYPE_DESCRIPTIONS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "null",
    Size: f"a size, S or [height, width], of multiples of {SIZE_DIVISOR}",
    tuple[Size, ...]: f"a list of sizes, each S or [height, width], of multiples of {SIZE_DIVISOR}",
}


def field_type(recipe: Recipe, path: str) -> Any:
    """The type of a path. Raises KeyError if there is no such path."""
    part: type = type(recipe)
    if path == "model.input_size":
        return Size
    if path == "model.resize":
        return ResizeKernels
    *parts, name = path.split(".")
    if parts:
        part = type(getattr(recipe, parts[0]))
    return get_type_hints(part)[name]


def validated(value: Any, path: str, expected_type: Any) -> Any:
    """The value converted to its type. Raises ValueError, which states what was expected."""
    found = [v for v in (_as(value, option) for option in _options(expected_type)) if v is not _NO]
    if not found:
        raise ValueError(f"expected {type_description(expected_type)}")
    low, high = LIMITS.get(path, (None, None))
    if low is not None and found[0] is not None and not low <= found[0] <= high:
        raise ValueError(f"expected a number from {low} to {high}")
    return found[0]


def type_description(expected_type: Any) -> str:
    """The allowed values, in words."""
    return " or ".join(
        TYPE_DESCRIPTIONS[option] if option in TYPE_DESCRIPTIONS else repr(option)
        for option in _options(expected_type)
    )


def check_consistency(values: Mapping[str, Any]) -> None:
    """Raise ValueError for values (path -> value) that contradict each other."""
    epochs, decay = values["schedule.epochs"], values["schedule.decay_epochs"]
    if epochs > decay:
        raise ValueError(
            f"schedule.epochs is {epochs}; expected at most schedule.decay_epochs, {decay}, where "
            f"the learning rate ends. `epochs: {epochs}` sets both"
        )
    warmup, plateau = values["schedule.warmup_epochs"], values["schedule.plateau_epochs"]
    if warmup + plateau >= decay:
        raise ValueError(
            f"schedule.warmup_epochs {warmup} and schedule.plateau_epochs {plateau} leave no epoch "
            f"of schedule.decay_epochs {decay} for the decay; use fewer"
        )


_NO = object()


def _options(expected_type: Any) -> tuple[Any, ...]:
    """A union's types and a Literal's values; a type itself."""
    if get_origin(expected_type) in (Union, UnionType):
        return tuple(option for arg in get_args(expected_type) for option in _options(arg))
    return get_args(expected_type) if get_origin(expected_type) is Literal else (expected_type,)


def _as(value: Any, option: Any) -> Any:
    """The value converted to this option, or _NO."""
    try:
        if option == tuple[Size, ...]:
            sizes = tuple(map(_size, value)) if isinstance(value, list | tuple) else ()
            return sizes or _NO
        if option == Size:
            return _size(value)
        if option is float and not isinstance(value, bool):
            return float(value)  # PyYAML reads 4e-5 as text
    except (TypeError, ValueError):
        return _NO
    if isinstance(option, type):
        return value if type(value) is option else _NO
    return value if type(value) is type(option) and value == option else _NO


def _size(value: Any) -> Size:
    height, width = (value, value) if type(value) is int else value
    if type(height) is not int or type(width) is not int:
        raise ValueError("not whole numbers")
    check_input_size((height, width))
    return height, width
