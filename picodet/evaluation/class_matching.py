"""Matches the classes of a network with the categories of the annotations."""

from collections.abc import Sequence
from typing import Literal

from picodet.data.coco import Category
from picodet.errors import EvaluationError
from picodet.inference.backend import ModelSpec

MatchBy = Literal["name", "order"]


def match_classes(
    spec: ModelSpec, categories: Sequence[Category], by: MatchBy
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Category ids in the order of the network's classes, and notes on what was assumed.

    By name, or by order: ppdet's rule, which trains class i on the category of the i-th smallest id
    (ppdet/data/source/coco.py:104). Raises EvaluationError if they do not match.
    """
    if spec.num_classes not in (None, len(categories)):
        raise EvaluationError(
            f"{spec.name} has {spec.num_classes} classes ({_list(spec.classes)}); the annotations "
            f"have {len(categories)} categories ({_list([c.name for c in categories])})"
        )
    in_order = tuple(category.id for category in sorted(categories, key=lambda c: c.id))
    if by == "order":
        return in_order, ("classes are matched by their order, not by name",)
    if spec.classes is None:
        return in_order, ("the model does not name its classes: they are matched by their order",)
    ids: dict[str, int] = {}
    for category in categories:
        if category.name in ids:
            raise EvaluationError(
                f"two categories of the annotations are called {category.name!r}; "
                "--match-classes order goes by their ids"
            )
        ids[category.name] = category.id
    unknown = [name for name in spec.classes if name not in ids]
    if unknown:
        known = set(spec.classes)
        raise EvaluationError(
            f"the annotations have no category called {_list(unknown)}; without a class of "
            f"{spec.name} are {_list([name for name in ids if name not in known])}. "
            "--match-classes order goes by the ids of the categories, as ppdet does"
        )
    return tuple(ids[name] for name in spec.classes), ()


def _list(names: Sequence[str] | None) -> str:
    return ", ".join(names) if names else "without names"
