"""A recipe by its name, or by a short YAML file with changes to one.

recipe: picodet_s_416_coco
epochs: 100                    # the cosine ends with them
input_size: 320                # and the multi-scale sizes around it
ema: ppdet-2.4           # or ppdet-2.3, or a mapping of its fields
resize: portable               # the same bits on every CPU
schedule: {base_lr: 0.1}     # everything else: see picodet.training.recipes.schema
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from picodet.errors import TrainingError, one_line
from picodet.files import regular_file
from picodet.training.recipes.builders import PPDET_2_3, PPDET_2_4, sizes_around
from picodet.training.recipes.limits import (
    check_consistency,
    field_type,
    leaves,
    validated,
    with_values,
)
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.provenance import sources
from picodet.training.recipes.schema import Recipe, Size

MAX_BYTES = 50_000
MAX_DEPTH = 6  # of nested collections
BASE = "recipe"
EMA_PRESETS = {"ppdet-2.3": PPDET_2_3.applied, "ppdet-2.4": PPDET_2_4.applied}
SHORTHANDS = {  # key: paths that it sets; a path's own key overrides it
    "epochs": ("schedule.epochs", "schedule.decay_epochs"),
    "input_size": ("model.input_size", "augmentation.sizes"),
    "ema": ("ema.applied",),
    "resize": ("model.resize",),
}
FIXED = "model"  # cannot be changed by a file


@dataclass(frozen=True)
class Resolved:
    """A recipe, and where each of its numbers comes from."""

    recipe: Recipe
    sources: dict[str, str]  # by path, see picodet.training.recipes.limits
    changed: frozenset[str]  # paths whose values differ from the official recipe


def resolve(argument: str) -> Resolved:
    """By official name, or path of a YAML file. Raises TrainingError for neither, or a bad file."""
    if argument in RECIPES:
        return Resolved(RECIPES[argument], sources(argument), frozenset())
    path = Path(argument)
    if not path.is_file():
        raise TrainingError(
            f"{argument}: not a recipe's name or a file.{_suggestion(argument, RECIPES)} "
            "picodet-train --print all lists the names"
        )
    try:
        return _resolved(path, _read_yaml(path))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise TrainingError(f"{path}: {error}") from error


def _resolved(path: Path, content: dict[str, Any]) -> Resolved:
    name = content.pop(BASE, None)
    if not isinstance(name, str) or name not in RECIPES:
        raise ValueError(
            f"`{BASE}` is {name!r}; expected the name of an official recipe."
            f"{_suggestion(str(name), RECIPES)}"
        )
    base = RECIPES[name]
    before = leaves(base)
    changes: dict[str, Any] = {}
    own: dict[str, str] = {}
    for key, value in sorted(_flat(content, ""), key=lambda entry: entry[0] not in SHORTHANDS):
        for at, new in _settings_of(key, value, base):
            changes[at], own[at] = new, f"{path}: {key}"
    check_consistency(before | changes)
    changed = frozenset(at for at, value in changes.items() if value != before[at])
    return Resolved(with_values(base, changes), sources(name) | own, changed)


def _flat(content: dict[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys, such as "schedule.base_lr", and values."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _settings_of(key: str, value: Any, base: Recipe) -> Iterator[tuple[str, Any]]:
    """The paths that a key sets, and their values."""
    known = leaves(base).keys() - {FIXED}
    if key not in known and key not in SHORTHANDS:
        raise ValueError(
            f"`{key}` is not a setting of a recipe.{_suggestion(key, [*known, *SHORTHANDS])}"
        )
    if key == "ema" and value not in list(EMA_PRESETS):
        raise _invalid(key, value, f"expected {' or '.join(EMA_PRESETS)}, or a mapping")
    for at in SHORTHANDS.get(key, (key,)):
        setting = value
        if key == "ema":
            setting = EMA_PRESETS[value]
        if key == "input_size" and at == "augmentation.sizes":
            setting = sizes_around(validated(value, "model.input_size", Size))
        try:
            yield at, validated(setting, at, field_type(base, at))
        except ValueError as error:
            raise _invalid(key, value, str(error)) from error


def _invalid(key: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"`{key}` is {one_line(repr(value))[:200]}; {expected}")


def _suggestion(wrong: str, names: Iterable[str]) -> str:
    near = get_close_matches(wrong, names, n=3, cutoff=0.6)
    return f" Did you mean {', '.join(near)}?" if near else ""


def _read_yaml(path: Path) -> dict[str, Any]:
    """The file as plain data. Raises ValueError for one that is large, deep or ambiguous."""
    with regular_file(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES:,} bytes; a recipe has a few hundred")
    text = content.decode()
    depth = 0
    for event in yaml.parse(text):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or isinstance(event, yaml.AliasEvent):
            raise ValueError("nested too deeply for a recipe, or with YAML aliases")
    node = yaml.compose(text)
    _check_keys(node)
    data = yaml.safe_load(text)
    if not isinstance(data, dict):
        raise ValueError(f"holds a {type(data).__name__}; expected lines of `name: value`")
    return data


def _check_keys(node: Any) -> None:
    """Raise ValueError for a duplicate key, of which YAML silently takes the last."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _check_keys(child)
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        twice = [key for i, key in enumerate(keys) if key in keys[:i] or key == "<<"]
        if twice:
            raise ValueError(f"line {node.start_mark.line + 1}: duplicate key {twice[0]!r}")
        for _, child in node.value:
            _check_keys(child)
