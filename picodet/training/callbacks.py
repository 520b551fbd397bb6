"""What a training calls while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

from picodet.training.trainer import StepLog


def _ignore(*_: object) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class TrainCallbacks:
    """Functions that show how far a training is; by default none shows anything."""

    note: Callable[[str], None] = _ignore  # before the first step, each note on its settings
    checking_images: Callable[[int, int], None] = _ignore  # done, total; before the first step
    step: Callable[[StepLog], None] = _ignore  # after each step
    evaluating: Callable[[int, int], None] = _ignore  # images done, total
