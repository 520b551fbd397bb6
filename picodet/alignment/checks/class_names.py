"""The names of the classes, where both sides state them, in the order of the scores."""

from collections.abc import Sequence
from dataclasses import replace

from picodet.alignment.result import Finding, Stage

MAX_SHOWN = 3
FINDING_NAME = "names of the classes"


def compare_class_names(
    stage: Stage, candidate: Sequence[str] | None, reference: Sequence[str] | None
) -> Stage:
    """The heads stage, with what the names of the classes add; `stage` where a side has none."""
    if candidate is None or reference is None:
        return stage
    if tuple(candidate) == tuple(reference):
        return replace(stage, summary=f"{stage.summary}; the names of the classes are equal")
    findings = (*stage.findings, _finding(candidate, reference))
    return replace(stage, verdict="differs", findings=findings)


def _finding(candidate: Sequence[str], reference: Sequence[str]) -> Finding:
    if len(candidate) != len(reference):
        return Finding(FINDING_NAME, f"{len(candidate)} names", f"{len(reference)} names")
    wrong = [
        i for i, pair in enumerate(zip(candidate, reference, strict=True)) if pair[0] != pair[1]
    ]
    found, expected = (
        ", ".join(f"{i} is {names[i]!r:.40}" for i in wrong[:MAX_SHOWN])
        for names in (candidate, reference)
    )
    more = f" and {len(wrong) - MAX_SHOWN} more" if len(wrong) > MAX_SHOWN else ""
    return Finding(
        FINDING_NAME, found + more, expected + more, _explain(candidate, reference, len(wrong))
    )


def _explain(candidate: Sequence[str], reference: Sequence[str], wrong: int) -> str:
    if sorted(candidate) == sorted(reference):
        return "the same names in another order"
    if [_plain(name) for name in candidate] == [_plain(name) for name in reference]:
        return "the same names in another spelling"
    return f"{wrong} of {len(candidate)} names differ"


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
