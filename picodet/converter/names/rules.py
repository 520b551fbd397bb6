"""Translates tensor and layer names by rules, in both directions.

A path such as `backbone.2_1._se.conv1.weight` is read from the left, rule by rule; a rule stands
for one or more whole segments of the path, `{field}` for a number. A path that the rules do not
cover completely has no translation. Among the rules that may come next no two begin alike on
either side, so every name has exactly one translation in each direction, and so have layer names
(`backbone.2_1._se`): conversion and layer comparison cannot disagree.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple


class Rule(NamedTuple):
    """One run of segments, in Paddle's naming and in PyTorch's."""

    paddle: str
    ours: str
    has_tensors: bool = True  # False for a layer without tensors
    nested: tuple["Rule", ...] = ()  # the rules for what follows, if they are different


class Translation(NamedTuple):
    """A translated path, and the rules that were used."""

    name: str
    rules: frozenset[Rule]


class _Step(NamedTuple):
    """A rule in one direction."""

    rule: Rule
    pattern: re.Pattern[str]
    template: str
    following: "tuple[_Step, ...]"  # what may come next; empty: the same steps as here


def _steps_to_ours(rules: tuple[Rule, ...]) -> tuple[_Step, ...]:
    return tuple(_step(rule, rule.paddle, rule.ours, _steps_to_ours(rule.nested)) for rule in rules)


def _steps_to_paddle(rules: tuple[Rule, ...]) -> tuple[_Step, ...]:
    return tuple(
        _step(rule, rule.ours, rule.paddle, _steps_to_paddle(rule.nested)) for rule in rules
    )


def _step(rule: Rule, source: str, target: str, following: tuple[_Step, ...]) -> _Step:
    run = re.sub(r"\\{\w+\\}", r"(\\d+)", re.escape(source))
    pattern = re.compile(run + r"(?:\.(?=.)|\Z)", re.ASCII)
    return _Step(rule, pattern, re.sub(r"{\w+}", "{}", target), following)


class NameTable:
    """The rules of a model's parts in both directions; a path's first segment names the part."""

    def __init__(self, **parts: tuple[Rule, ...]) -> None:
        self.rules = frozenset(rule for rules in parts.values() for rule in _with_nested(rules))
        self._to_ours = {part: _steps_to_ours(rules) for part, rules in parts.items()}
        self._to_paddle = {part: _steps_to_paddle(rules) for part, rules in parts.items()}

    def to_ours(self, path: str) -> Translation | None:
        """The PyTorch name of a Paddle tensor or layer; None if the rules do not cover it."""
        return _translate(path, self._to_ours)

    def to_paddle(self, path: str) -> Translation | None:
        """Paddle's name of a PyTorch tensor or layer; None if the rules do not cover it."""
        return _translate(path, self._to_paddle)


def _with_nested(rules: tuple[Rule, ...]) -> Iterator[Rule]:
    for rule in rules:
        yield rule
        yield from _with_nested(rule.nested)


def _translate(path: str, parts: dict[str, tuple[_Step, ...]]) -> Translation | None:
    part, dot, rest = path.partition(".")
    if part not in parts or (dot and not rest):
        return None
    names, used, position, possible = [part], set(), 0, parts[part]
    while position < len(rest):
        for step in possible:
            if match := step.pattern.match(rest, position):
                break
        else:
            return None
        names.append(step.template.format(*match.groups()))
        used.add(step.rule)
        position, possible = match.end(), step.following or possible
    return Translation(".".join(names), frozenset(used))
