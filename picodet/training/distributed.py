"""What the processes of a training exchange: gradients, loss normalizers and flags.

Batch norms use the statistics of their own process, as in ppdet (those of process 0 are saved),
unless the recipe sets sync_bn.
"""

from collections.abc import Mapping, Sequence
from inspect import signature

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from picodet.distributed import ProcessGroup
from picodet.training.criterion import Normalizer
from picodet.training.recipes.schema import BoxNormalizer

# DDP's argument for sending buffers in each step: newer and older name
BUFFER_SYNC_ARGUMENT = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
)


def distributed(model: nn.Module, ranks: ProcessGroup) -> nn.Module:
    """The model in DistributedDataParallel; a single process gets it unchanged."""
    if ranks.size == 1:
        return model
    return DistributedDataParallel(model, **{BUFFER_SYNC_ARGUMENT: False})  # type: ignore[arg-type]


def normalizer(kind: BoxNormalizer, ranks: ProcessGroup) -> Normalizer:
    """Function: a process's own sum of weights -> divisor of its losses.

    ppdet until 2.6.0 takes the mean over the processes. Since 2.6.1 the mean goes to a copy that is
    thrown away: each process divides its own sum by the world size (simota_head.py:480-482).
    """
    if ranks.size == 1:
        return lambda own: own
    if kind == "own over ranks":
        return lambda own: own / ranks.size

    def mean(own: Tensor) -> Tensor:
        total = own.detach().clone()
        dist.all_reduce(total)
        return total / ranks.size

    return mean


def any_rank(
    flags: Sequence[Tensor | bool], device: torch.device, ranks: ProcessGroup
) -> list[bool]:
    """Whether each flag is set in any of the processes; the same answer in all of them."""
    numbers = torch.stack([torch.as_tensor(flag, device=device).float() for flag in flags])
    if ranks.size > 1:
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
    return [bool(number) for number in numbers.tolist()]


def broadcast_from_first(
    tensors: Mapping[str, Tensor], ranks: ProcessGroup
) -> Mapping[str, Tensor]:
    """Overwrite the tensors of all processes by those of process 0, in place; returns them."""
    if ranks.size > 1:
        for tensor in tensors.values():
            dist.broadcast(tensor, src=0)
    return tensors
