"""The names of the classes, where both sides say them: the order is that of the scores."""

from collections.abc import Sequence
from dataclasses import replace

from picodet.alignment.result import Finding, Stage

MAX_SHOWN = 3
FINDING_NAME = "names of the classes"


def compare_class_names(
    stage: Stage, ours: Sequence[str] | None, theirs: Sequence[str] | None
) -> Stage:
    """The rung of the heads, whose scores have one channel for each class."""
    if ours is None or theirs is None:
        return stage
    if tuple(ours) == tuple(theirs):
        return replace(stage, summary=f"{stage.summary}; the names of the classes are equal")
    findings = (*stage.findings, _finding(ours, theirs))
    return replace(stage, verdict="differs", findings=findings)


def _finding(ours: Sequence[str], theirs: Sequence[str]) -> Finding:
    if len(ours) != len(theirs):
        return Finding(FINDING_NAME, f"{len(ours)} names", f"{len(theirs)} names")
    wrong = [i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]]
    found, expected = (
        ", ".join(f"{i} is {names[i]!r:.40}" for i in wrong[:MAX_SHOWN]) for names in (ours, theirs)
    )
    more = f" and {len(wrong) - MAX_SHOWN} more" if len(wrong) > MAX_SHOWN else ""
    return Finding(FINDING_NAME, found + more, expected + more, _explain(ours, theirs, len(wrong)))


def _explain(ours: Sequence[str], theirs: Sequence[str], wrong: int) -> str:
    if sorted(ours) == sorted(theirs):
        return "the same names in another order"
    if [_plain(name) for name in ours] == [_plain(name) for name in theirs]:
        return "the same words, spelled otherwise"
    return f"{wrong} of {len(ours)} are called otherwise"


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
