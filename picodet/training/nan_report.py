"""A loss or a gradient that is no number: in which tensor it began, and with which pictures."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from picodet.errors import TrainingError
from picodet.models.head import AnyHeadOutput
from picodet.training.criterion import Criterion
from picodet.training.data.batch import Batch

SHOWN = 16  # picture ids
NOT_FINITE = "the loss or a gradient is not finite"
ELSEWHERE = "none when the step is repeated in this process: another one has it, or half precision"


class NotFiniteError(TrainingError):
    """The training stops before the step is taken; the last state is from before it."""

    in_other_process = False  # whether this process has no such tensor itself


def explain(
    model: nn.Module,
    batch: Batch,
    criterion: Criterion,
    iteration: int,
    what: str = NOT_FINITE,
) -> NotFiniteError:
    """Walk through the step once more and name the first tensor that is not finite."""
    where = _first_nonfinite(model, batch, criterion)
    ids = ", ".join(map(str, batch.image_ids[:SHOWN]))
    more = f" and {len(batch.image_ids) - SHOWN} more" if len(batch.image_ids) > SHOWN else ""
    error = NotFiniteError(
        f"iteration {iteration}: {what}. The first tensor that is not: {where}. The pictures of "
        f"the batch: {ids}{more}. Nothing was updated; look at these pictures and boxes, or lower "
        "the rate, and --resume"
    )
    error.in_other_process = where == ELSEWHERE
    return error


def _first_nonfinite(model: nn.Module, batch: Batch, criterion: Criterion) -> str:
    for name, tensor in _inputs(model, batch):
        if not is_finite(tensor):
            return f"{name}, {_count(tensor)}"
    found: list[str] = []

    def look(name: str, output: object) -> None:
        for tensor in _tensors(output):
            if not found and not is_finite(tensor):
                found.append(f"what {name} makes, {_count(tensor)}")

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
    yield "the pictures", batch.images
    yield "the boxes", batch.targets.boxes
    for name, tensor in model.named_parameters():  # statistics have seen the batch already
        yield f"the weight {name}", tensor


def _tensors(output: object) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple | list):
        for each in output:
            yield from _tensors(each)


def is_finite(tensor: Tensor) -> bool:
    """Every one of its numbers."""
    return bool(torch.isfinite(tensor).all())


def _count(tensor: Tensor) -> str:
    bad = int((~torch.isfinite(tensor)).sum())
    return f"{bad} of {tensor.numel()} numbers of {list(tensor.shape)}"


def map_sums(output: AnyHeadOutput) -> Tensor:
    """Of each map; finite if all its numbers are."""
    return torch.stack([level.detach().sum() for maps in output for level in maps])


def gradient_norm(parameters: Mapping[str, nn.Parameter]) -> Tensor:
    """A scalar that is finite if every gradient is."""
    gradients = [p.grad for p in parameters.values() if p.grad is not None]
    return torch.stack(torch._foreach_norm(gradients)).sum()
