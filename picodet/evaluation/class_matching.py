"""Matches the classes of a network with the categories of the annotations."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from picodet.data.coco import Annotations, Category
from picodet.errors import EvaluationError
from picodet.inference.backend import ModelSpec

MatchBy = Literal["name", "order"]
MAX_NAMED = 5  # names in a note


class ClassMatch(NamedTuple):
    """The categories that a network's classes are."""

    category_ids: tuple[int | None, ...]  # of each class; None: its detections do not count
    notes: tuple[str, ...]  # on what was assumed

    @property
    def matched(self) -> tuple[int, ...]:
        """The ids of the categories that have a class."""
        return tuple(each for each in self.category_ids if each is not None)


def match_classes(spec: ModelSpec, categories: Sequence[Category], by: MatchBy) -> ClassMatch:
    """Category ids in the order of the network's classes, and notes on what was assumed.

    By name, where a class and a category may be without a partner; or by order: ppdet's rule, which
    trains class i on the category of the i-th smallest id (ppdet/data/source/coco.py:104). Raises
    EvaluationError if they do not match.
    """
    if by == "order" or spec.classes is None:
        return _by_order(spec, categories, by)
    ids: dict[str, int] = {}
    for category in categories:
        if category.name in ids:
            raise EvaluationError(
                f"two categories of the annotations are called {category.name!r}; "
                "--match-classes order goes by their ids"
            )
        ids[category.name] = category.id
    if not ids.keys() & set(spec.classes):
        raise EvaluationError(
            f"{spec.name} has {len(spec.classes)} classes ({_list(spec.classes)}), and none of "
            f"them is a category of the annotations, which are {_list(list(ids))}. --match-classes "
            "order goes by the ids of the categories, as ppdet does"
        )
    missing = [name for name in spec.classes if name not in ids]
    notes = (
        f"{len(missing)} of {spec.name}'s {len(spec.classes)} classes are no category of the "
        f"annotations, and their detections do not count: {_list(missing)}",
    )
    return ClassMatch(tuple(map(ids.get, spec.classes)), notes if missing else ())


def _by_order(spec: ModelSpec, categories: Sequence[Category], by: MatchBy) -> ClassMatch:
    if spec.num_classes not in (None, len(categories)):
        raise EvaluationError(
            f"{spec.name} has {spec.num_classes} classes ({_list(spec.classes)}); the annotations "
            f"have {len(categories)} categories ({_list([c.name for c in categories])})"
        )
    how = (
        "classes are matched by their order, not by name"
        if by == "order"
        else "the model does not name its classes: they are matched by their order"
    )
    return ClassMatch(tuple(sorted(category.id for category in categories)), (how,))


def select_matched(annotations: Annotations, match: ClassMatch) -> tuple[Annotations, str]:
    """The annotations of the categories that have a class, and what was left out ("": nothing)."""
    left_out = [c for c in annotations.categories if c.id not in match.matched]
    if not left_out:
        return annotations, ""
    boxes = np.isin(annotations.ground_truth.category_ids, [c.id for c in left_out]).sum()
    return annotations.select_categories(match.matched), (
        f"over {len(match.matched)} of {len(annotations.categories)} categories: the model has no "
        f"class for {_list([c.name for c in left_out])} ({boxes:,} boxes, which do not count)"
    )


def _list(names: Sequence[str] | None) -> str:
    if not names:
        return "without names"
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
