"""Records the first steps of small trainings by PaddleDetection, in float64.

    PYTHONPATH=. .venv-paddle/bin/python -W ignore -m scripts.record.training

makes tests/golden/training_2021.npz and training_2022.npz, as picodet-align record --training
writes them with --float64 --summary: with SimOTA, and with ATSS and task-aligned assignment; each
three steps, and one step where the last image has no boxes. Weights and images are seeded.
"""

import sys
import tempfile
from pathlib import Path

from picodet.alignment.paddle_side import model, training_main
from picodet.alignment.paddle_side.checkpoint import Checkpoint
from picodet.alignment.reference.request import TrainingRecordRequest
from picodet.alignment.training import npz_file
from picodet.alignment.training.batch import synthetic_batch
from scripts.fixtures import seeded
from scripts.fixtures.trained import GOLDEN, TRAINED

SAMPLES = 6  # of each tensor
LR = 1e-4  # lower than usual, so that steps amplify rounding less


def record(name: str, folder: Path) -> Path:
    """Record one of TRAINED and return the file's path."""
    config, out = TRAINED[name], GOLDEN / f"{name}.npz"
    state = model.build(config).state_dict()
    weights = seeded.checkpoint({key: tuple(value.shape) for key, value in state.items()})
    checkpoint = Checkpoint(folder / f"{name}.pdparams", config, weights)
    seeded.write(weights, checkpoint.path)
    batch = synthetic_batch(config.input_size, len(config.classes), config.preprocessing)
    request = TrainingRecordRequest(checkpoint.path, out, None, None, True, SAMPLES, lr=LR)
    npz_file.write(
        training_main.record_training(checkpoint, batch, request, lambda done, total: None),
        SAMPLES,
        out,
    )
    return out


def main() -> None:
    """Record all of TRAINED."""
    with tempfile.TemporaryDirectory() as folder:
        for name in TRAINED:
            out = record(name, Path(folder))
            sys.stdout.write(f"{out.name}: {out.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
