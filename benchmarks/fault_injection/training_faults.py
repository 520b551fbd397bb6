"""Plants faults in a right training, one at a time: picodet-align --training must find each.

    python -m benchmarks.fault_injection.training_faults [--only WORD] [--json FILE]

The faults of training_fault_list.py, compared with ppdet's training recorded in float64
(tests/golden, by scripts/record/training.py). The stage of a fault is the first that differs: later
ones may differ as a consequence. Exit code 1 where a fault is not found there, or where a right
training is reported as wrong.
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
    found: str  # the first stage that differs
    finding: str  # the first of that stage, with its diagnosis


@cache
def right(name: str) -> tuple[TrainingRecording, TrainingSetup]:
    """A recording of scripts/fixtures/trained.py, and picodet's training of the same weights."""
    return trained.load_recording(name), trained.training_setup(name)


def compare(fault: TrainingFault) -> Comparison:
    """Compare with the fault planted, by the one run that shows it."""
    recording, ours = right(GENERATION[fault.run])
    runs = tuple(run for run in recording.runs if run.name == fault.run)
    with fault.planted(ours) as wrong:
        return align_training(replace(recording, runs=runs), wrong, Path(__file__))


def row(fault: TrainingFault) -> Row:
    """Plant a fault and report where it was found."""
    stages = [stage for stage in compare(fault).stages if stage.verdict == "differs"]
    found = stages[0].name if stages else NOT_FOUND
    finding = ""
    if stages and stages[0].findings:
        first = stages[0].findings[0]
        finding = f"{first.name.removeprefix(f'{fault.run}: ')}: {first.diagnosis or first.found}"
    return Row(fault.name, fault.run, fault.stage, found, finding)


def rows(only: str) -> Iterator[Row]:
    """The rows of all faults whose name contains `only`; prints them as a table."""
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for fault in FAULTS:
        if only in fault.name:
            results = row(fault)
            print(f"| {' | '.join(asdict(results).values())} |", flush=True)
            yield results


def alarms() -> Iterator[str]:
    """Stages of right trainings that are not aligned."""
    for name in trained.TRAINED:
        recording, ours = right(name)
        comparison = align_training(recording, ours, Path(__file__))
        yield from (f"{name}: {r.name}" for r in comparison.stages if r.verdict != "aligned")


def main() -> None:
    """Plant all faults and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="faults whose name has this word")
    parser.add_argument("--json", type=Path, help="write the rows as JSON")
    options = parser.parse_args()
    false_alarms = list(alarms())
    results = list(rows(options.only))
    located = sum(r.found == r.stage for r in results)
    print(
        f"{located} of {len(results)} found at their stage; "
        f"false alarms: {', '.join(false_alarms) or 0}"
    )
    if options.json:
        content = {"rows": [asdict(r) for r in results], "false_alarms": false_alarms}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    sys.exit(0 if located == len(results) and not false_alarms else 1)


if __name__ == "__main__":
    main()
