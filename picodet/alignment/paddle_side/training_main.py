"""Records ppdet's training in Paddle's process, as main.py records a forward pass.

`main` takes a TrainingRecordRequest as JSON. Needs paddlepaddle, ppdet and NumPy; no torch.
"""

from functools import partial

import numpy as np

from picodet.alignment.paddle_side.checkpoint import Checkpoint, load
from picodet.alignment.recording.index import content_key
from picodet.alignment.reference.request import TrainingRecordRequest
from picodet.alignment.training.batch import GroundTruth, TrainingBatch, read_batch, synthetic_batch
from picodet.alignment.training.npz_file import sample_indices, write
from picodet.alignment.training.recipe import recipe_of
from picodet.alignment.training.recording import (
    Precision,
    TensorDigest,
    TrainingRecording,
    tensor_digest,
)
from picodet.config import ModelConfig
from picodet.files import sha256
from picodet.paddle_process.worker import ProgressCallback, run_work
from picodet.system.versions import versions
from picodet.training.recipes.schema import TaskAligned

STEPS_PER_EPOCH = 20  # for the recorded learning rates; as many as COCO has would take long
EMPTY_LAST_IMAGE = "last picture without boxes"  # in the names of runs, as in older recordings


def main(request: str) -> None:
    """Make the recording of a TrainingRecordRequest in JSON; errors go to standard output."""
    parsed = TrainingRecordRequest.from_json(request)
    run_work(lambda progress: record(parsed, progress))


def record(request: TrainingRecordRequest, progress: ProgressCallback) -> None:
    """Train ppdet for a few steps and write what it did to `request.out`.

    Raises a PicoDetError where that fails.
    """
    checkpoint = load(request.reference, request.input_size)
    if request.batch:
        batch = read_batch(request.batch, len(checkpoint.config.classes))
    else:
        config = checkpoint.config
        batch = synthetic_batch(config.input_size, len(config.classes), config.preprocessing)
    write(record_training(checkpoint, batch, request, progress), request.samples, request.out)


def record_training(
    checkpoint: Checkpoint,
    batch: TrainingBatch,
    request: TrainingRecordRequest,
    progress: ProgressCallback,
) -> TrainingRecording:
    """All runs on the batch, each starting from the checkpoint's weights."""
    import paddle  # noqa: PLC0415 (after the checks: it takes seconds)

    from picodet.alignment.paddle_side import model, training  # noqa: PLC0415

    paddle.set_device("cpu")
    precision: Precision = "float64" if request.float64 else "float32"
    detector = model.build(checkpoint.config)
    model.load_weights(detector, checkpoint.weights)
    runs = []
    planned = _plan_runs(checkpoint.config, batch, request.steps)
    train, images = training.record_run, batch.images.astype(precision)
    digest = partial(_digest, samples=request.samples)
    with training.ready_to_train(detector, request.float64):
        for i, (name, epoch, boxes, steps) in enumerate(planned):
            progress(i, len(planned))
            model.load_weights(
                detector, {k: v.astype(precision) for k, v in checkpoint.weights.items()}
            )
            runs.append(train(detector, name, epoch, images, boxes, request.lr, steps, digest))
    progress(len(planned), len(planned))
    return TrainingRecording(
        file=checkpoint.path.name,
        sha256=sha256(checkpoint.path),
        versions=versions("paddlepaddle", "paddledet"),
        precision=precision,
        weights={name: content_key(array) for name, array in checkpoint.weights.items()},
        images=batch.images,
        runs=tuple(runs),
        rates=training.record_learning_rates(
            recipe_of(checkpoint.config).schedule, STEPS_PER_EPOCH
        ),
    )


def _plan_runs(
    config: ModelConfig, batch: TrainingBatch, steps: int
) -> list[tuple[str, int, GroundTruth, int]]:
    """Of each run: its name, its epoch, the ground truth and the number of steps."""
    assignment = recipe_of(config).assignment
    epochs = {"SimOTA": 0}
    if isinstance(assignment, TaskAligned):
        epochs = {"ATSS": 0, "task-aligned": assignment.static_epochs}
    runs = [(name, epoch, batch.boxes, steps) for name, epoch in epochs.items()]
    if batch.boxes.valid[:-1].any():
        last = batch.without_last_boxes()
        runs += [(f"{name}, {EMPTY_LAST_IMAGE}", epoch, last, 1) for name, epoch in epochs.items()]
    return runs


def _digest(array: np.ndarray, samples: int) -> TensorDigest:
    return tensor_digest(array, sample_indices(array.size, samples))
