"""Faults planted in a right training, one at a time: picodet-align --training must find each.

    python -m benchmarks.fault_injection.training_faults [--only WORD] [--json FILE]

The faults of training_fault_list.py, against what ppdet recorded in float64 (tests/golden, by
scripts/record/training.py). The rung of a fault is the first that differs: those behind it may
follow from it. Exit code 1 where a fault is not found there, or where a right training is called
wrong.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from benchmarks.fault_injection.training_fault_list import FAULTS, GENERATION, TrainingFault
from picodet.alignment.result import Comparison
from picodet.alignment.training.align import align_training
from picodet.alignment.training.recording import TrainingRecording
from picodet.alignment.training.steps import TrainingSetup
from scripts.fixtures import trained

COLUMNS = ("fault", "run", "stage", "found at", "first finding")
NOT_FOUND = "not found"


@dataclass(frozen=True)
class Row:
    """One fault, and where it was found."""

    fault: str
    run: str
    stage: str
    found: str  # the first rung that differs
    finding: str  # the first there, and what is known of it


@cache
def right(name: str) -> tuple[TrainingRecording, TrainingSetup]:
    """A recording of scripts/fixtures/trained.py, and our training of the same."""
    return trained.load_recording(name), trained.training_setup(name)


def compare(fault: TrainingFault) -> Comparison:
    """The run that shows it alone."""
    recording, ours = right(GENERATION[fault.run])
    runs = tuple(run for run in recording.runs if run.name == fault.run)
    with fault.planted(ours) as wrong:
        return align_training(replace(recording, runs=runs), wrong, Path(__file__))


def row(fault: TrainingFault) -> Row:
    """Plant it and look."""
    stages = [stage for stage in compare(fault).stages if stage.verdict == "differs"]
    found = stages[0].name if stages else NOT_FOUND
    finding = ""
    if stages and stages[0].findings:
        first = stages[0].findings[0]
        finding = f"{first.name.removeprefix(f'{fault.run}: ')}: {first.diagnosis or first.found}"
    return Row(fault.name, fault.run, fault.stage, found, finding)


def rows(only: str) -> Iterator[Row]:
    """All faults whose name has the word."""
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for fault in FAULTS:
        if only in fault.name:
            results = row(fault)
            print(f"| {' | '.join(asdict(results).values())} |", flush=True)
            yield results


def alarms() -> Iterator[str]:
    """Rungs of right trainings that are not aligned."""
    for name in trained.TRAINED:
        recording, ours = right(name)
        comparison = align_training(recording, ours, Path(__file__))
        yield from (f"{name}: {r.name}" for r in comparison.stages if r.verdict != "aligned")


def main() -> None:
    """Plant everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="faults whose name has this word")
    parser.add_argument("--json", type=Path, help="write the rows for machines")
    options = parser.parse_args()
    false_alarms = list(alarms())
    results = list(rows(options.only))
    located = sum(r.found == r.stage for r in results)
    print(
        f"{located} of {len(results)} found at their rung; false alarms: {len(false_alarms)} "
        f"{false_alarms}"
    )
    if options.json:
        content = {"rows": [asdict(r) for r in results], "false_alarms": false_alarms}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    sys.exit(0 if located == len(results) and not false_alarms else 1)


if __name__ == "__main__":
    main()
