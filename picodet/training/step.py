"""One step: forward, losses, backward, update, average; in ppdet's order (engine/trainer.py:613).

With `accumulation_steps` several batches make a step, as if each were a process of its own:
gradients are averaged, batch norms see one batch at a time, and each batch's losses have
their own normalizer.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from picodet.distributed import ERROR_TIMEOUT, ProcessGroup
from picodet.models.head import AnyHeadOutput
from picodet.models.picodet import PicoDet
from picodet.training.criterion import Criterion, Losses
from picodet.training.data.batch import Batch
from picodet.training.distributed import any_rank, distributed
from picodet.training.ema import ModelEMA
from picodet.training.nan_report import (
    NOT_FINITE,
    NotFiniteError,
    explain,
    gradient_norm,
    map_sums,
)
from picodet.training.optimizer import MomentumSGD

# A scale of 65,536, where it begins, is halved to 1.5e-05 by so many: no gradient that is finite is
# still too large for float16 then, nor one of a scale that has grown 65,536 times before.
MAX_SKIPPED = 32  # steps in a row that may be left out
HALF_DTYPES = {"cuda": torch.float16, "cpu": torch.bfloat16}


@dataclass(frozen=True)
class StepResult:
    """What became of a step."""

    losses: dict[str, float]  # the mean over the step's batches of this process, and their total
    stop: bool  # one of the processes wants it to end
    skipped: int = 0  # steps in a row, up to this one, left out for gradients that are not finite


class Stepper:
    """Takes steps with a model, in training mode, on its device."""

    def __init__(
        self,
        model: PicoDet,
        optimizer: MomentumSGD,
        ema: ModelEMA,
        ranks: ProcessGroup,
        amp: bool = False,
    ) -> None:
        self.model, self.optimizer, self.ema, self.ranks = model, optimizer, ema, ranks
        self.device = next(model.parameters()).device
        self.parallel = distributed(model, ranks)
        self.parameters = dict(model.named_parameters())
        self.half_dtype = HALF_DTYPES.get(self.device.type) if amp else None
        self.scaler = _scaler(self.device, enabled=self.half_dtype is torch.float16)
        self.skipped = 0

    def __call__(
        self,
        batches: Sequence[Batch],
        criterion: Criterion,
        iteration: int,
        lr: float,
        stop: bool = False,
    ) -> StepResult:
        """Raises NotFiniteError, in all processes, before anything is updated.

        In float16 a step whose gradients are not finite is left out, and only SKIPPED of them in a
        row are an error.
        """
        self.optimizer.zero_grad()
        terms = []
        for i, batch in enumerate(batches):
            with self._no_sync_until_last(i == len(batches) - 1):
                output = self._forward(batch.images)
                # what follows is not made for NaN; others are not left alone in it
                self._check(map_sums(output), batch, criterion, iteration)
                losses = criterion(output, batch.targets)
                self.scaler.scale(losses.total / len(batches)).backward()
            terms.append(torch.stack([*losses, losses.total]).detach())
            self._check(terms[-1], batch, criterion, iteration)
        if not self.scaler.is_enabled():  # it looks at the gradients itself, and leaves steps out
            self._check(gradient_norm(self.parameters), batches[-1], criterion, iteration)
        (stop,) = any_rank([stop], self.device, self.ranks)
        self.optimizer.set_lr(lr)
        if self.scaler.is_enabled():
            self.optimizer.init_momentum_buffers()
        self.scaler.step(self.optimizer.sgd)
        self._update_scale(batches[-1], criterion, iteration)
        self.ema.update()
        mean_losses = torch.stack(terms).mean(dim=0)
        names = (*Losses._fields, "total")
        return StepResult(dict(zip(names, mean_losses.tolist(), strict=True)), stop, self.skipped)

    def _forward(self, images: Tensor) -> AnyHeadOutput:
        if self.half_dtype is None:
            return self.parallel(images)
        with torch.autocast(self.device.type, self.half_dtype):
            output = self.parallel(images)
        return type(output)(*(tuple(level.float() for level in maps) for maps in output))

    def _no_sync_until_last(self, last: bool) -> AbstractContextManager[None]:
        """Gradients are exchanged once a step."""
        if last or not isinstance(self.parallel, DistributedDataParallel):
            return nullcontext()
        return self.parallel.no_sync()

    def _check(self, numbers: Tensor, batch: Batch, criterion: Criterion, iteration: int) -> None:
        """Raise NotFiniteError in all processes where it is so in one."""
        (bad,) = any_rank([~torch.isfinite(numbers).all()], self.device, self.ranks)
        if bad:
            raise self._explained(batch, criterion, iteration)

    def _update_scale(self, batch: Batch, criterion: Criterion, iteration: int) -> None:
        """Gradients are everybody's mean by now, so that all processes count alike."""
        before = self.scaler.get_scale()
        self.scaler.update()
        self.skipped = self.skipped + 1 if self.scaler.get_scale() < before else 0
        if self.skipped == MAX_SKIPPED:
            what = (
                f"the gradients of {MAX_SKIPPED} steps in a row are not finite in half precision, "
                f"down to a loss scale of {self.scaler.get_scale():.1e}, and none of them was taken"
            )
            raise self._explained(batch, criterion, iteration, what)

    def _explained(
        self, batch: Batch, criterion: Criterion, iteration: int, what: str = NOT_FINITE
    ) -> NotFiniteError:
        error = explain(self.model, batch, criterion, iteration, what)
        if error.in_other_process and self.ranks.size > 1:  # the one that has it shall tell
            time.sleep(ERROR_TIMEOUT)
            self.ranks.check()
        return error


def _scaler(device: torch.device, enabled: bool) -> "torch.amp.GradScaler":
    """Torch before 2.3 has only that of CUDA, the one that half precision needs here."""
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler(device.type, enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)
