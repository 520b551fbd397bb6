"""Records a training inside Paddle's own process, as paddle_main.py does a forward pass.

`main` takes a TrainingOrder as JSON. Needs paddlepaddle, ppdet and NumPy; no torch.
"""

from functools import partial

import numpy as np

from picodet.alignment.paddle_side import checkpoint
from picodet.alignment.paddle_side.checkpoint import Checkpoint
from picodet.alignment.recording.index import content_key
from picodet.alignment.reference.request import TrainingOrder
from picodet.alignment.training.batch import Boxes, TrainingInput, drawn, read_batch
from picodet.alignment.training.npz_file import positions_of, write
from picodet.alignment.training.recipe import recipe_of
from picodet.alignment.training.recording import Known, Precision, TrainingRecording, known
from picodet.config import ModelConfig
from picodet.files import sha256
from picodet.paddle_process.progress import carry_out, progress
from picodet.system.versions import versions
from picodet.training.recipes.schema import TaskAligned

STEPS_PER_EPOCH = 20  # of the learning rates that are recorded; COCO's would take long
EMPTY = "last picture without boxes"


def main(order: str) -> None:
    """Carry out one order."""
    asked = TrainingOrder.from_json(order)
    carry_out(lambda: record(asked))


def record(order: TrainingOrder) -> None:
    """Train ppdet with the weights of a `.pdparams` or `.pdema`, or of a training's folder."""
    read = checkpoint.read(order.reference, order.input_size)
    if order.batch:
        fed = read_batch(order.batch, len(read.config.classes))
    else:
        config = read.config
        fed = drawn(config.input_size, len(config.classes), config.preprocessing)
    write(record_training(read, fed, order), order.samples, order.out)


def record_training(
    read: Checkpoint, fed: TrainingInput, order: TrainingOrder
) -> TrainingRecording:
    """Every run on the batch, each from the checkpoint's weights on."""
    import paddle  # noqa: PLC0415 (only now: it takes seconds)

    from picodet.alignment.paddle_side import model, training  # noqa: PLC0415

    paddle.set_device("cpu")
    precision: Precision = "float64" if order.float64 else "float32"
    detector = model.build(read.config)
    model.fill(detector, read.weights)
    runs = []
    wanted = _wanted(read.config, fed, order.steps)
    train, images = training.record_run, fed.images.astype(precision)
    keep = partial(_keep, samples=order.samples)
    with training.prepared(detector, order.float64):
        for i, (name, epoch, boxes, steps) in enumerate(wanted):
            progress(i, len(wanted))
            model.fill(detector, {k: v.astype(precision) for k, v in read.weights.items()})
            runs.append(train(detector, name, epoch, images, boxes, order.rate, steps, keep))
    progress(len(wanted), len(wanted))
    return TrainingRecording(
        file=read.path.name,
        sha256=sha256(read.path),
        versions=versions("paddlepaddle", "paddledet"),
        precision=precision,
        weights={name: content_key(array) for name, array in read.weights.items()},
        images=fed.images,
        runs=tuple(runs),
        rates=training.record_rates(recipe_of(read.config).schedule, STEPS_PER_EPOCH),
    )


def _wanted(
    config: ModelConfig, fed: TrainingInput, steps: int
) -> list[tuple[str, int, Boxes, int]]:
    """Names of runs, the epochs that they are of, what there is to find, and how many steps."""
    assignment = recipe_of(config).assignment
    epochs = {"SimOTA": 0}
    if isinstance(assignment, TaskAligned):
        epochs = {"ATSS": 0, "task-aligned": assignment.static_epochs}
    runs = [(name, epoch, fed.boxes, steps) for name, epoch in epochs.items()]
    if fed.boxes.valid[:-1].any():
        last = fed.last_empty()
        runs += [(f"{name}, {EMPTY}", epoch, last, 1) for name, epoch in epochs.items()]
    return runs


def _keep(array: np.ndarray, samples: int) -> Known:
    return known(array, positions_of(array.size, samples))
