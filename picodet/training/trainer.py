"""The training loop, from the first epoch or a checkpoint; as ppdet's Trainer.train
(engine/trainer.py).

After each epoch it takes an EMA snapshot where the recipe says so, writes and evaluates weights,
and saves a checkpoint. Whatever kills the process, resuming from the newest one gives the same
result.
"""

import math
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from torch import Tensor

from picodet.distributed import ProcessGroup
from picodet.errors import PicoDetError, TrainingError
from picodet.models.picodet import PicoDet
from picodet.system.termination import TERMINATION_SIGNALS, Terminated, signal_handlers
from picodet.training import checkpoint as checkpoints
from picodet.training.checkpoint import Best, Checkpoint, Progress, WeightWriter
from picodet.training.criterion import criterion
from picodet.training.data.dataloader import Loader
from picodet.training.distributed import broadcast_from_first, normalizer
from picodet.training.ema import ModelEMA
from picodet.training.logger import EVALUATION, TrainLogger
from picodet.training.nan_report import NotFiniteError, with_advice
from picodet.training.optimizer import optimizer
from picodet.training.options import TrainOptions
from picodet.training.recipes.lr_schedule import learning_rates
from picodet.training.step import Stepper, StepResult


@dataclass(frozen=True)
class TrainResult:
    """The result of a finished training."""

    epochs: int
    iterations: int
    best: Best | None  # None if nothing was evaluated
    files: tuple[Path, ...]  # weight files
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The result as `picodet-train --json` writes it."""
        best = self.best
        return {
            "epochs": self.epochs,
            "iterations": self.iterations,
            "best": best and {"AP": best.ap, "epoch": best.epoch},
            "files": list(map(str, self.files)),
            "notes": list(self.notes),
        }


class InterruptedTrainingError(TrainingError):
    """Stopped by Ctrl-C or a termination signal."""

    def __init__(self, out: Path, progress: Progress) -> None:
        """progress: of the checkpoint that was saved before."""
        super().__init__(
            f"interrupted after step {progress.step} of epoch {progress.epoch + 1}; a checkpoint "
            f"is in {out}: the same command with --resume continues from it"
        )


class StoppedAtOnceError(TrainingError):
    """Stopped by a second Ctrl-C, without a checkpoint."""

    def __init__(self, out: Path, saved_at: int | None) -> None:
        """saved_at: iteration of the newest checkpoint; None: there is none."""
        super().__init__(
            "interrupted twice, and nothing was saved; "
            + (
                f"there is no checkpoint in {out}: the same command begins anew"
                if saved_at is None
                else f"the newest checkpoint in {out} is of iteration {saved_at}: the same command "
                "with --resume continues from it"
            )
        )


class Interruption:
    """Context manager: `requested` turns true at the first SIGINT or termination signal.

    A second Ctrl-C raises KeyboardInterrupt at once, and those of the second after it are ignored:
    who holds the keys down does not keep unfinished files from being deleted. A second termination
    signal, as torchrun sends it, is ignored, so that saving is not disturbed. Changes the process's
    signal handlers until the end of the block, in its main thread only.
    """

    def __init__(self) -> None:
        self.requested = False
        self.cause: KeyboardInterrupt | None = None
        self._raised_at = -math.inf  # time.monotonic()
        self._stack = ExitStack()

    def __enter__(self) -> "Interruption":
        self._stack.enter_context(signal_handlers(self._note, signal.SIGINT, *TERMINATION_SIGNALS))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            if time.monotonic() - self._raised_at < CLEANUP_TIME:
                return
            self._raised_at = time.monotonic()
            raise KeyboardInterrupt
        if not self.requested:
            self.cause = KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
        self.requested = True


CLEANUP_TIME = 1.0  # seconds
OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # torch's words on a GPU, and on a CPU
LOG_INTERVAL = 20  # steps between two lines of the log (ppdet's log_iter)


@dataclass(frozen=True)
class StepLog:
    """One step, for the progress display."""

    progress: Progress  # after the step
    epochs: int
    steps: int  # per epoch
    losses: Mapping[str, float]
    lr: float
    images: int  # in the step, of all processes
    seconds: float  # duration of the step
    data_seconds: float  # of these, waiting for images
    skipped: int = 0  # consecutive steps, up to this one, skipped in half precision


class Validate(Protocol):
    """Evaluates weights; called by all processes together."""

    def __call__(self, weights: Mapping[str, Tensor]) -> Mapping[str, float]:
        """COCO's statistics by their names, AP among them."""
        ...


class Trainer:
    """The training loop of one process.

    `run` trains the model in place, writes checkpoints, weights and logs into `options.out`
    (process 0 only), and catches signals meanwhile. It sets no global flags of torch: cudnn's are
    set by `picodet.inference.torch_backend.move_to_device`, which opens the device.
    """

    def __init__(
        self,
        options: TrainOptions,
        ranks: ProcessGroup,
        model: PicoDet,
        loader: Loader,
        settings: Mapping[str, Any],
        validate: Validate | None = None,
        show: Callable[[StepLog], None] = lambda log: None,
    ) -> None:
        recipe = options.recipe
        self.options, self.ranks, self.model, self.loader = options, ranks, model, loader
        self.settings, self.validate, self.show = settings, validate, show
        factors = {"backbone.": recipe.optimizer.backbone_lr_factor}
        self.optimizer = optimizer(model, recipe.optimizer, factors)
        self.ema = ModelEMA(model, recipe.ema)
        self.stepper = Stepper(model, self.optimizer, self.ema, ranks, options.amp)
        self.steps = loader.steps_per_epoch // options.accumulation_steps
        self.lr_schedule = learning_rates(recipe.schedule, self.steps)
        self.normalizer = normalizer(recipe.box_normalizer, ranks)
        self.progress = Progress()
        self.saved_at: int | None = None  # iteration of the newest checkpoint
        self.weight_writer = WeightWriter(options, model.config)
        self.logger: TrainLogger | None = None

    def resume(self, checkpoint: Checkpoint) -> None:
        """Load a checkpoint; `run` then continues behind it."""
        self.model.load_state_dict(dict(checkpoint.tensors["model"]))
        numbers = checkpoint.numbers
        self.optimizer.load_momentum_buffers(checkpoint.tensors["momentum_buffers"])
        self.ema.load_state_dict({"ema": checkpoint.tensors["ema"], **numbers["ema"]})
        if numbers["scaler"]:  # it has no state without float16
            self.stepper.scaler.load_state_dict(numbers["scaler"])
        self.progress = checkpoint.progress
        self.saved_at = checkpoint.progress.iteration

    def run(self) -> TrainResult:
        """Train to the last epoch.

        Raises InterruptedTrainingError when interrupted, NotFiniteError at NaN or infinity, and
        TrainingError when memory runs out, or at a second Ctrl-C. Checkpoints saved before stay.
        """
        first = self.ranks.rank == 0
        progress = self.progress
        if first:  # an epoch's evaluation is logged after its last step
            self.logger = TrainLogger(
                self.options.out, progress.iteration, evaluated=progress.step == 0
            )
        try:
            with Interruption() as interruption:
                while self._epochs_left() and not self.out_of_patience:
                    self._train_epoch(interruption)
                    self._finish_epoch()
        except KeyboardInterrupt as error:
            raise StoppedAtOnceError(self.options.out, self.saved_at) from error
        except NotFiniteError as error:
            lr = self.options.recipe.schedule.base_lr
            raise with_advice(error, lr, self.saved_at) from error
        except RuntimeError as error:
            self.ranks.check()  # raises if another process failed first
            if any(text in str(error) for text in OUT_OF_MEMORY):
                raise TrainingError(
                    f"iteration {self.progress.iteration}: out of memory "
                    f"({str(error).splitlines()[0]}). Use a smaller --batch, with "
                    "--accumulation-steps for the same number of images per step; --resume "
                    "continues from the last checkpoint"
                ) from error
            raise
        finally:
            if self.logger:
                self.logger.close()
        notes = [self.logger.note] if self.logger and self.logger.note else []
        if self.out_of_patience and self._epochs_left():
            notes.append(self._patience_note())
        return TrainResult(
            self.progress.epoch,
            self.progress.iteration,
            self.progress.best,
            self.weight_writer.files(),
            tuple(notes),
        )

    def _epochs_left(self) -> bool:
        return self.progress.epoch < self.options.recipe.schedule.epochs

    def _train_epoch(self, interruption: Interruption) -> None:
        recipe = self.options.recipe
        model = self.model.train()
        losses = criterion(
            recipe.assignment,
            recipe.losses,
            model.head.integral,
            self.normalizer,
            self.ranks.size,
            self.progress.epoch,
        )
        batches_per_step = self.options.accumulation_steps
        batches = self.loader.epoch(self.progress.epoch, self.progress.step * batches_per_step)
        while self.progress.step < self.steps:
            self.ranks.check()  # torchrun itself may have been killed
            start = time.perf_counter()
            try:
                group = [next(batches).to(self.stepper.device) for _ in range(batches_per_step)]
            except PicoDetError:
                self._save()  # a corrupt image loses no finished step
                raise
            data_seconds = time.perf_counter() - start
            iteration = self.progress.iteration
            # by the place in the epochs: a resumed training may have other steps per epoch
            lr = self.lr_schedule(self.progress.epoch * self.steps + self.progress.step)
            result = self.stepper(group, losses, iteration, lr, interruption.requested)
            self.progress = self.progress.next_step()
            self._log_step(result, lr, len(group[0].image_ids), start, data_seconds)
            if result.stop:
                self._save()
                raise InterruptedTrainingError(
                    self.options.out, self.progress
                ) from interruption.cause
            if self.progress.iteration % self.options.save_steps == 0:
                self._save()

    def _finish_epoch(self) -> None:
        self._save()  # evaluation takes long, and weights may not fit on the disk
        recipe, epoch = self.options.recipe, self.progress.epoch + 1
        last = epoch == recipe.schedule.epochs
        is_snapshot = last or epoch % recipe.snapshot_epochs == 0
        every = self.options.evaluate_every
        evaluated = every > 0 and (last or epoch % every == 0)
        counts = is_snapshot or recipe.ema.applied == "every epoch"
        ema_weights: Mapping[str, Tensor] = {}
        if counts or evaluated:  # only ppdet's own snapshots count for the EMA's cycle
            ema_weights = self.ema.snapshot() if counts else self.ema.averaged_state_dict()
            ema_weights = broadcast_from_first(ema_weights, self.ranks)
        best, since_best = self.progress.best, self.progress.since_best
        if evaluated and self.validate:
            best = self._evaluate(self.validate(ema_weights), epoch)
            since_best = since_best + 1 if best == self.progress.best else 0
        self.progress = self.progress.next_epoch()
        if ema_weights and self.ranks.rank == 0:
            improved = best != self.progress.best
            raw = self.model.state_dict()
            self.weight_writer.write(
                ema_weights, raw, epoch, ["last", *(["best"] if improved else [])]
            )
        self.progress = replace(self.progress, best=best, since_best=since_best)
        self._save()

    @property
    def out_of_patience(self) -> bool:
        """Whether the AP has not got better for as many evaluations as the options allow."""
        patience = self.options.patience
        return patience is not None and self.progress.since_best >= patience

    def _patience_note(self) -> str:
        best, epochs = self.progress.best, self.options.recipe.schedule.epochs
        reached = f"AP {best.ap:.5f} of epoch {best.epoch}" if best else "first AP"
        return (
            f"stopped after epoch {self.progress.epoch} of {epochs}: {self.progress.since_best} "
            f"evaluations gave no better AP than the {reached}; --resume with another --patience, "
            "or without, goes on"
        )

    def _evaluate(self, numbers: Mapping[str, float], epoch: int) -> Best | None:
        if self.logger:
            self.logger.write(EVALUATION, self.progress.iteration, {"epoch": epoch, **numbers})
        best = self.progress.best
        return Best(numbers["AP"], epoch) if best is None or numbers["AP"] > best.ap else best

    def _log_step(
        self, result: StepResult, lr: float, batch: int, start: float, data_seconds: float
    ) -> None:
        losses, skipped = result.losses, result.skipped
        images = batch * self.options.accumulation_steps * self.ranks.size
        seconds = time.perf_counter() - start
        epochs = self.options.recipe.schedule.epochs
        self.show(
            StepLog(
                self.progress,
                epochs,
                self.steps,
                losses,
                lr,
                images,
                seconds,
                data_seconds,
                skipped,
            )
        )
        if self.logger and (
            self.progress.iteration % LOG_INTERVAL == 0 or self.progress.iteration == 1
        ):
            row = {"epoch": self.progress.epoch + 1, "step": self.progress.step, **losses}
            speed = {"lr": lr, "images_per_second": images / seconds}
            waits = {"data_wait": data_seconds / seconds}
            skipped_steps = {"skipped": skipped} if skipped else {}
            self.logger.write("step", self.progress.iteration, row | speed | waits | skipped_steps)

    def _save(self) -> None:
        self._write_checkpoint()
        self.saved_at = self.progress.iteration

    def _write_checkpoint(self) -> None:
        if self.ranks.rank != 0:
            return
        ema = self.ema.state_dict()
        tensors = {
            "model": self.model.state_dict(),
            "momentum_buffers": self.optimizer.momentum_buffers(),
            "ema": ema.pop("ema"),
        }
        numbers = {"ema": ema, "scaler": self.stepper.scaler.state_dict()}
        saved = Checkpoint(self.progress, tensors, numbers, self.settings)
        checkpoints.save(
            self.options.out / checkpoints.FOLDER, saved, self.options.keep_checkpoints
        )
