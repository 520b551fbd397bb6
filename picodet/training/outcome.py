"""What a training has come to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from picodet.training.checkpoint import Best


@dataclass(frozen=True)
class Outcome:
    """At the end of the last epoch."""

    epochs: int
    iterations: int
    best: Best | None  # None where nothing was evaluated
    files: tuple[Path, ...]  # of weights
    notes: tuple[str, ...]


def print_outcome(outcome: Outcome) -> None:
    """For people."""
    click.echo(f"trained  {outcome.epochs} epochs, {outcome.iterations:,} steps")
    if outcome.best:
        click.echo(f"best     AP {outcome.best.ap:.5f} after epoch {outcome.best.epoch}")
    for file in outcome.files:
        click.echo(f"written  {file}")
    for note in outcome.notes:
        click.echo(f"Note: {note}", err=True)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """For `--json`."""
    best = outcome.best
    return {
        "epochs": outcome.epochs,
        "iterations": outcome.iterations,
        "best": best and {"AP": best.ap, "epoch": best.epoch},
        "files": list(map(str, outcome.files)),
        "notes": list(outcome.notes),
    }
