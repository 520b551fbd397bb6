"""Records PaddleDetection's learning rates by iteration.

    PYTHONPATH=. .venv-paddle/bin/python -m scripts.record.rates

makes tests/golden/rates.npz: for each of SCHEDULES the learning rates of the iterations 0, 1 ..
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from ppdet.optimizer import LearningRate
from ppdet.optimizer.optimizer import CosineDecay, ExpWarmup, LinearWarmup

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "rates.npz"


class RecordedSchedule(NamedTuple):
    """A schedule in ppdet's classes, and how many iterations of it are recorded."""

    base_lr: float
    decay: CosineDecay
    warmup: LinearWarmup | ExpWarmup
    steps_per_epoch: int
    iterations: int


SCHEDULES = {
    "linear": RecordedSchedule(
        0.4, CosineDecay(5), LinearWarmup(30, 0.1), 20, 110
    ),  # beyond its end
    "exponential_and_plateau": RecordedSchedule(
        0.2,
        CosineDecay(10, min_lr_ratio=0.08, last_plateau_epochs=3),
        ExpWarmup(epochs=2),
        15,
        160,
    ),
    "warmed_up_by_epochs": RecordedSchedule(0.3, CosineDecay(6), LinearWarmup(epochs=2), 11, 70),
    "not_warmed_up": RecordedSchedule(0.1, CosineDecay(3), LinearWarmup(0, 0.1), 7, 25),
    "warmed_up_too_long": RecordedSchedule(0.32, CosineDecay(2), LinearWarmup(30, 0.1), 10, 40),
}


def learning_rates(recorded: RecordedSchedule) -> np.ndarray:
    """The learning rates [iterations] float64."""
    schedule = LearningRate(recorded.base_lr, [recorded.decay, recorded.warmup])
    scheduler = schedule(recorded.steps_per_epoch)
    found = []
    for _ in range(recorded.iterations):
        found.append(scheduler())
        scheduler.step()
    return np.array(found)


def main() -> None:
    """Write the recording."""
    recorded = {name: learning_rates(schedule) for name, schedule in SCHEDULES.items()}
    np.savez_compressed(OUTPUT, allow_pickle=False, **recorded)


if __name__ == "__main__":
    main()
