"""One step: forward, losses, backward, optimizer, EMA; in ppdet's order (engine/trainer.py:613).

With gradient accumulation several batches make a step, as if each were a process of its own:
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

# 32 halvings take the initial loss scale of 65,536 to 1.5e-05: no finite gradient is too large for
# float16 then, even where the scale had grown 65,536 times before.
MAX_SKIPPED = 32  # consecutive steps that may be skipped
HALF_DTYPES = {"cuda": torch.float16, "cpu": torch.bfloat16}


@dataclass(frozen=True)
class StepResult:
    """The outcome of one step."""

    losses: dict[str, float]  # the mean over the step's batches of this process, and their total
    stop: bool  # one of the processes was interrupted
    skipped: int = 0  # consecutive steps, up to this one, skipped for gradients that are not finite


class Stepper:
    """Takes steps with a model in training mode, on the device of its parameters.

    amp: float16 with a gradient scaler on a GPU, bfloat16 on a CPU.
    """

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
        enabled = self.half_dtype is torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=enabled)
        self.skipped = 0

    def __call__(
        self,
        batches: Sequence[Batch],
        criterion: Criterion,
        iteration: int,
        lr: float,
        stop: bool = False,
    ) -> StepResult:
        """One optimizer step over `batches`; updates model, optimizer and EMA.

        stop: whether this process was interrupted. Raises NotFiniteError, in all processes, before
        anything is updated. In float16 a step whose gradients are not finite is skipped, and only
        MAX_SKIPPED in a row are an error.
        """
        self.optimizer.zero_grad()
        terms = []
        for i, batch in enumerate(batches):
            with self._no_sync_until_last(i == len(batches) - 1):
                output = self._forward(batch.images)
                # the assigners cannot handle NaN; all processes stop together
                self._check(map_sums(output), batch, criterion, iteration)
                losses = criterion(output, batch.targets)
                self.scaler.scale(losses.total / len(batches)).backward()
            terms.append(torch.stack([*losses, losses.total]).detach())
            self._check(terms[-1], batch, criterion, iteration)
        if not self.scaler.is_enabled():  # the scaler checks the gradients itself, and skips steps
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
        """Raise NotFiniteError in all processes if a number of one of them is not finite."""
        (bad,) = any_rank([~torch.isfinite(numbers).all()], self.device, self.ranks)
        if bad:
            raise self._explained(batch, criterion, iteration)

    def _update_scale(self, batch: Batch, criterion: Criterion, iteration: int) -> None:
        """Gradients are averaged over the processes by now, so that all count the same."""
        before = self.scaler.get_scale()
        self.scaler.update()
        self.skipped = self.skipped + 1 if self.scaler.get_scale() < before else 0
        if self.skipped == MAX_SKIPPED:
            what = (
                f"the gradients of {MAX_SKIPPED} steps in a row are not finite in half precision, "
                f"down to a loss scale of {self.scaler.get_scale():.1e}, and all were skipped"
            )
            raise self._explained(batch, criterion, iteration, what)

    def _explained(
        self, batch: Batch, criterion: Criterion, iteration: int, what: str = NOT_FINITE
    ) -> NotFiniteError:
        error = explain(self.model, batch, criterion, iteration, what)
        if error.in_other_process and self.ranks.size > 1:  # that process reports it
            time.sleep(ERROR_TIMEOUT)
            self.ranks.check()
        return error
