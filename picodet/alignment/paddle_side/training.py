"""Records a few training steps of ppdet. Imported in Paddle's process only.

The values are those of configs/picodet of PaddleDetection 666f597, with file and line.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import paddle
from ppdet.modeling.assigners import ATSSAssigner, SimOTAAssigner, TaskAlignedAssigner
from ppdet.modeling.heads import pico_head
from ppdet.modeling.losses import DistributionFocalLoss, GIoULoss
from ppdet.modeling.losses.varifocal_loss import VarifocalLoss
from ppdet.optimizer import LearningRate, ModelEMA, OptimizerBuilder
from ppdet.optimizer.optimizer import CosineDecay, ExpWarmup, LinearWarmup

from picodet.alignment.paddle_side import model
from picodet.alignment.training.batch import GroundTruth
from picodet.alignment.training.recording import (
    LearningRates,
    RecordedAssignment,
    TensorDigest,
    TrainingRun,
)
from picodet.training.recipes.schema import Schedule

OPTIMIZER = OptimizerBuilder(  # _base_/optimizer_300e.yml:13-18
    regularizer={"factor": 4e-5, "type": "L2"}, optimizer={"momentum": 0.9, "type": "Momentum"}
)
STATIC_EPOCHS = 100  # _base_/picodet_v2.yml:40
# ppdet's names of the loss terms -> those in a recording
TERMS = {"loss_vfl": "varifocal", "loss_bbox": "boxes", "loss_dfl": "sides"}
STATISTICS = ("._mean", "._variance")

DigestTensor = Callable[[np.ndarray], TensorDigest]
# which images have boxes [B] -> box index per anchor point, -1 for none, and quality, [B, A] each
AssignmentReader = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def record_run(
    detector: paddle.nn.Layer,
    name: str,
    epoch: int,
    images: np.ndarray,
    boxes: GroundTruth,
    lr: float,
    steps: int,
    digest: DigestTensor,
) -> TrainingRun:
    """Train the detector in place, from its present weights, and record the steps.

    images [B, 3, H, W], normalized; lr: constant; digest: reduces a tensor to what is recorded.
    """
    head = detector.head
    aligned = isinstance(head, pico_head.PicoHeadV2)
    optimizer, ema = OPTIMIZER(lr, detector), ModelEMA(detector)
    parameters = {name: p for name, p in detector.named_parameters() if p.trainable}
    run = TrainingRun(name, epoch, lr, boxes, losses=())
    detector.train()
    for _ in range(steps):
        with (_watch_batch_assigners if aligned else _watch_simota)(head) as read_assignment:
            features = detector.neck(detector.backbone({"image": paddle.to_tensor(images)}))
            terms = head.get_loss(head(features), _make_batch(images, boxes, epoch, aligned))
        statistics = _digests(_bn_statistics(detector), digest) if not run.losses else {}
        paddle.add_n(list(terms.values())).backward()
        if not run.losses:
            run = replace(
                run,
                assignment=_assignment(*read_assignment(boxes.valid.max(axis=1))),
                statistics=statistics,
                gradients=_digests(_gradients(parameters), digest),
            )
        optimizer.step()
        optimizer.clear_grad()
        ema.update()
        step_losses = {TERMS[term]: float(value) for term, value in terms.items()}
        run = replace(run, losses=(*run.losses, step_losses))
    detector.eval()
    return replace(
        run,
        parameters=_digests(detector.state_dict(), digest),
        momenta=_digests(_momentum_buffers(parameters, optimizer), digest),
        averages=_digests(ema.apply(), digest),
    )


def add_training_parts(detector: paddle.nn.Layer) -> None:
    """Set the head's assigners and losses, which only training needs."""
    head = detector.head
    if isinstance(head, pico_head.PicoHeadV2):
        # _base_/picodet_v2.yml:39-58
        head.static_assigner_epoch = STATIC_EPOCHS
        head.static_assigner = ATSSAssigner(
            topk=9, num_classes=head.num_classes, force_gt_matching=False
        )
        head.assigner = TaskAlignedAssigner(topk=13, alpha=1.0, beta=6.0)
        head.loss_vfl = VarifocalLoss(use_sigmoid=False, iou_weighted=True, loss_weight=1.0)
        head.loss_dfl = DistributionFocalLoss(loss_weight=0.5)
        head.loss_bbox = GIoULoss(loss_weight=2.5)
    else:
        # legacy_model/_base_/picodet_esnet.yml:36-49
        head.assigner = SimOTAAssigner(
            candidate_topk=10, iou_weight=6, num_classes=head.num_classes
        )


@contextmanager
def ready_to_train(detector: paddle.nn.Layer, float64: bool) -> Iterator[None]:
    """Prepare a detector for training. float64 patches Paddle and ppdet until the block ends."""
    add_training_parts(detector)
    with ExitStack() as stack:
        if float64:
            model.convert_to_float64(detector)
            stack.enter_context(_float64_training(detector.head))
        yield


@contextmanager
def _float64_training(head: paddle.nn.Layer) -> Iterator[None]:
    """Patch the places where ppdet, or a kernel of Paddle, computes in float32 regardless of input.

    The gradient of Paddle's adaptive average pooling is divided in float32, an error of 3e-8.
    """
    center_points = head.get_single_level_center_point

    def float64_center_points(*args: Any, **kwargs: Any) -> tuple[paddle.Tensor, ...]:
        return tuple(array.astype("float64") for array in center_points(*args, **kwargs))

    head.get_single_level_center_point = float64_center_points
    anchors = partial(pico_head.generate_anchors_for_grid_cell, dtype="float64")
    default = paddle.get_default_dtype()
    with (
        patch.object(paddle.nn.functional, "adaptive_avg_pool2d", _global_avg_pool),
        patch.object(pico_head, "generate_anchors_for_grid_cell", anchors),
    ):
        paddle.set_default_dtype("float64")
        try:
            yield
        finally:
            paddle.set_default_dtype(default)


def _global_avg_pool(x: paddle.Tensor, *_: Any, **__: Any) -> paddle.Tensor:
    """Average pooling to 1x1, the only size that PicoDet uses: [B, C, H, W] -> [B, C, 1, 1]."""
    return x.mean(axis=[2, 3], keepdim=True)


def _make_batch(
    images: np.ndarray, boxes: GroundTruth, epoch: int, aligned: bool
) -> dict[str, Any]:
    """A batch in the form of ppdet's reader: lists in 2021, padded arrays in 2022."""
    dtype = images.dtype
    batch: dict[str, Any] = {"im_id": paddle.arange(len(images))[:, None], "epoch_id": epoch}
    if aligned:
        return batch | {
            "gt_bbox": paddle.to_tensor(boxes.boxes.astype(dtype)),
            "gt_class": paddle.to_tensor(boxes.classes[..., None]),
            "pad_gt_mask": paddle.to_tensor(boxes.valid[..., None].astype(dtype)),
        }
    counts = boxes.valid.sum(axis=1)
    return batch | {
        "gt_bbox": [
            paddle.to_tensor(padded[:n].astype(dtype))
            for padded, n in zip(boxes.boxes, counts, strict=True)
        ],
        "gt_class": [
            paddle.to_tensor(padded[:n, None])
            for padded, n in zip(boxes.classes, counts, strict=True)
        ],
    }


@contextmanager
def _watch_simota(head: paddle.nn.Layer) -> Iterator[AssignmentReader]:
    """Record what SimOTA assigns; it is called once per image that has boxes."""
    boxes: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    assigner, loss = head.assigner, head.loss_vfl
    sample, forward = assigner.get_sample, loss.forward

    def keep_boxes(numbers: np.ndarray, *rest: Any) -> Any:
        boxes.append(np.array(numbers) - 1)
        return sample(numbers, *rest)

    def keep_targets(predicted: Any, target: paddle.Tensor, *rest: Any, **named: Any) -> Any:
        targets.append(target.numpy().max(axis=-1))
        return forward(predicted, target, *rest, **named)

    def read_assignment(has_boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        levels = [of_level.reshape(len(has_boxes), -1) for of_level in targets]
        quality = np.concatenate(levels, axis=1)
        box = np.full(quality.shape, -1)
        box[has_boxes] = np.stack(boxes)
        return box, quality

    substitutes = {assigner: ("get_sample", keep_boxes), loss: ("forward", keep_targets)}
    with ExitStack() as stack:
        for owner, (name, substitute) in substitutes.items():
            stack.enter_context(patch.object(owner, name, substitute))
        yield read_assignment


@contextmanager
def _watch_batch_assigners(head: paddle.nn.Layer) -> Iterator[AssignmentReader]:
    """Record what the assigners of 2022 assign; they are called once for the whole batch."""
    found: list[tuple[np.ndarray, np.ndarray]] = []

    def keep(_: Any, __: Any, assigned: tuple[paddle.Tensor, ...]) -> None:
        _, _, scores, assigned_classes = (tensor.numpy() for tensor in assigned)
        box = np.where(assigned_classes.max(axis=1) > 0, assigned_classes.argmax(axis=1), -1)
        found.append((box, scores.max(axis=-1)))

    assigners = (head.static_assigner, head.assigner)
    hooks = [assigner.register_forward_post_hook(keep) for assigner in assigners]
    yield lambda _: found[0]
    for hook in hooks:
        hook.remove()


def _assignment(box: np.ndarray, quality: np.ndarray) -> RecordedAssignment:
    image, anchor = (box >= 0).nonzero()
    return RecordedAssignment(
        image, anchor, box[image, anchor].astype(np.int64), quality[image, anchor]
    )


def _gradients(parameters: Mapping[str, paddle.Tensor]) -> dict[str, paddle.Tensor]:
    return {name: p.grad for name, p in parameters.items() if p.grad is not None}


def _momentum_buffers(
    parameters: Mapping[str, paddle.Tensor], optimizer: paddle.optimizer.Optimizer
) -> dict[str, paddle.Tensor]:
    """Paddle stores them by its internal names of parameters and a number of the optimizer."""
    buffers = {
        name.rpartition("_velocity_")[0]: value for name, value in optimizer.state_dict().items()
    }
    return {name: buffers[p.name] for name, p in parameters.items() if p.name in buffers}


def _bn_statistics(detector: paddle.nn.Layer) -> dict[str, paddle.Tensor]:
    state = detector.state_dict()
    return {name: value for name, value in state.items() if name.endswith(STATISTICS)}


def _digests(tensors: Mapping[str, paddle.Tensor], digest: DigestTensor) -> dict[str, TensorDigest]:
    """Digests by the tensors' canonical names."""
    return {model.canonical_name(name): digest(value.numpy()) for name, value in tensors.items()}


def record_learning_rates(schedule: Schedule, steps_per_epoch: int) -> LearningRates:
    """ppdet's learning rates of the first iterations, the last ones and some in between."""
    decay = CosineDecay(
        schedule.decay_epochs,
        min_lr_ratio=schedule.end_ratio,
        last_plateau_epochs=schedule.plateau_epochs,
    )
    warmup_epochs = schedule.warmup_epochs or None
    if schedule.warmup == "exponential":
        warmup = ExpWarmup(schedule.warmup_steps, warmup_epochs)
    else:
        warmup = LinearWarmup(schedule.warmup_steps, schedule.warmup_factor, warmup_epochs)
    scheduler = LearningRate(schedule.base_lr, [decay, warmup])(steps_per_epoch)
    total = schedule.epochs * steps_per_epoch
    lrs = []
    for _ in range(total):
        lrs.append(scheduler())
        scheduler.step()
    warmup_steps = schedule.warmup_steps or schedule.warmup_epochs * steps_per_epoch
    iterations = np.arange(total)
    iterations = iterations[
        (iterations < warmup_steps + 50) | (iterations % 97 == 0) | (iterations >= total - 5)
    ]
    return LearningRates(steps_per_epoch, iterations, np.array(lrs, np.float64)[iterations])
