"""A recipe as a flat list of its numbers, each by its path: "schedule.base_rate"."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from picodet.config import ModelConfig
from picodet.training.recipes.schema import Recipe


def leaves(recipe: Recipe) -> dict[str, Any]:
    """By path. Of the model there are its name, its input size and what resizes; its config has
    the rest.
    """
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


def with_leaves(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The same but for these: path -> value."""
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
