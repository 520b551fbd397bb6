"""NaN or infinity in a loss or gradient: the first such tensor, and the images of the batch."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from picodet.errors import TrainingError
from picodet.models.head import AnyHeadOutput
from picodet.training.criterion import Criterion
from picodet.training.data.batch import Batch

SHOWN = 16  # image ids in the message
NOT_FINITE = "the loss or a gradient is not finite"
ELSEWHERE = "none when the step is repeated in full precision in this process"


class NotFiniteError(TrainingError):
    """A loss or gradient is NaN or infinite. The step was not taken."""

    in_other_process = False  # whether this process found no such tensor itself
    options: tuple[str, ...] = ()  # of picodet-train, to go on with a lower learning rate


def explain(
    model: nn.Module,
    batch: Batch,
    criterion: Criterion,
    iteration: int,
    what: str = NOT_FINITE,
) -> NotFiniteError:
    """Repeat the step and name the first tensor that is not finite.

    Returns the error, to be raised. Changes gradients and running statistics of the model.
    """
    where = _first_nonfinite(model, batch, criterion)
    ids = ", ".join(map(str, batch.image_ids[:SHOWN]))
    more = f" and {len(batch.image_ids) - SHOWN} more" if len(batch.image_ids) > SHOWN else ""
    error = NotFiniteError(
        f"iteration {iteration}: {what}; first tensor with NaN or infinity: {where}. Images of "
        f"the batch: {ids}{more}. Nothing was updated"
    )
    error.in_other_process = where == ELSEWHERE
    return error


def with_advice(error: NotFiniteError, base_lr: float, resume_at: int | None) -> NotFiniteError:
    """The error with what to do, and the options for it: half the learning rate, and --resume.

    resume_at: the iteration of the newest checkpoint; None: there is none yet.
    """
    lr = ("--lr", f"{base_lr / 2:.6g}")
    options = lr if resume_at is None else ("--resume", *lr)
    begin = "begins anew, as no checkpoint was saved yet"
    advised = NotFiniteError(
        f"{error}. Check these images and boxes, or lower the learning rate: the same command with "
        f"{' '.join(options)} "
        + (
            begin
            if resume_at is None
            else f"continues from the checkpoint of iteration {resume_at}"
        )
    )
    advised.in_other_process, advised.options = error.in_other_process, options
    return advised


def _first_nonfinite(model: nn.Module, batch: Batch, criterion: Criterion) -> str:
    for name, tensor in _inputs(model, batch):
        if not is_finite(tensor):
            return f"{name}, {_count(tensor)}"
    found: list[str] = []

    def look(name: str, output: object) -> None:
        for tensor in _tensors(output):
            if not found and not is_finite(tensor):
                found.append(f"the output of {name}, {_count(tensor)}")

    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: look(name, output))
        for name, layer in model.named_modules()
        if name
    ]
    try:
        model.zero_grad(set_to_none=True)
        output = model(batch.images)
    finally:
        for hook in hooks:
            hook.remove()
    if found:
        return found[0]
    losses = criterion(output, batch.targets)
    for name, term in losses._asdict().items():
        if not is_finite(term):
            return f"the loss term {name}, {term.item()}"
    losses.total.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not is_finite(parameter.grad):
            return f"the gradient of {name}, {_count(parameter.grad)}"
    return ELSEWHERE


def _inputs(model: nn.Module, batch: Batch) -> Iterator[tuple[str, Tensor]]:
    yield "the images", batch.images
    yield "the boxes", batch.targets.boxes
    for (
        name,
        tensor,
    ) in (
        model.named_parameters()
    ):  # running statistics are left out: the batch has changed them already
        yield f"the weight {name}", tensor


def _tensors(output: object) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple | list):
        for each in output:
            yield from _tensors(each)


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite."""
    return bool(torch.isfinite(tensor).all())


def _count(tensor: Tensor) -> str:
    bad = int((~torch.isfinite(tensor)).sum())
    return f"{bad} of {tensor.numel()} values of shape {list(tensor.shape)}"


def map_sums(output: AnyHeadOutput) -> Tensor:
    """[maps]: the sum of each feature map; finite if all its values are."""
    return torch.stack([level.detach().sum() for maps in output for level in maps])


def gradient_norm(parameters: Mapping[str, nn.Parameter]) -> Tensor:
    """A scalar: the sum of the gradients' norms; finite if every gradient is."""
    gradients = [p.grad for p in parameters.values() if p.grad is not None]
    return torch.stack(torch._foreach_norm(gradients)).sum()
