"""Epoch after epoch, from wherever a training stands; as ppdet's Trainer.train (engine/trainer.py).

After each epoch the average is taken where the recipe says so, weights are written and evaluated,
and the state is saved. Whatever kills the process, the newest state leads to the same result.
"""

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import click
from torch import Tensor

from picodet.distributed import Ranks
from picodet.errors import PicoDetError, TrainingError
from picodet.models.picodet import PicoDet
from picodet.system.termination import ENDING, Terminated, listening
from picodet.training import checkpoint as states
from picodet.training.checkpoint import Best, Position, Results, State
from picodet.training.criterion import criterion
from picodet.training.data.dataloader import Loader
from picodet.training.distributed import normaliser, of_the_first
from picodet.training.ema import Average
from picodet.training.logger import EVALUATION, Journal
from picodet.training.optimizer import optimiser
from picodet.training.options import Job
from picodet.training.recipes.lr_schedule import learning_rates
from picodet.training.step import Stepper, Taken


@dataclass(frozen=True)
class Outcome:
    """At the end of the last epoch."""

    epochs: int
    iterations: int
    best: Best | None  # None where nothing was evaluated
    files: tuple[Path, ...]  # of weights
    notes: tuple[str, ...]


def print_outcome(outcome: Outcome) -> None:
    """For people."""
    click.echo(f"trained  {outcome.epochs} epochs, {outcome.iterations:,} steps")
    if outcome.best:
        click.echo(f"best     AP {outcome.best.ap:.5f} after epoch {outcome.best.epoch}")
    for file in outcome.files:
        click.echo(f"written  {file}")
    for note in outcome.notes:
        click.echo(f"Note: {note}", err=True)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """For `--json`."""
    best = outcome.best
    return {
        "epochs": outcome.epochs,
        "iterations": outcome.iterations,
        "best": best and {"AP": best.ap, "epoch": best.epoch},
        "files": list(map(str, outcome.files)),
        "notes": list(outcome.notes),
    }


class InterruptedTrainingError(TrainingError):
    """Somebody wanted it to end; what was done is kept."""

    def __init__(self, out: Path, position: Position) -> None:
        super().__init__(
            f"interrupted after step {position.step} of epoch {position.epoch + 1}; everything is "
            f"in {out}, and the same command with --resume goes on"
        )


class Interruption:
    """`wanted` is set by the first signal. A second Ctrl-C is Python's own again; whoever asks
    otherwise once more, as torchrun does, does not disturb the saving.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.cause: KeyboardInterrupt | None = None
        self._stack = ExitStack()

    def __enter__(self) -> "Interruption":
        self._stack.enter_context(listening(self._note, signal.SIGINT, *ENDING))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.wanted:
            self.cause = KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
        self.wanted = True


NO_MEMORY = ("out of memory", "can't allocate memory")  # what torch says on a GPU, and on a CPU
LOGGED = 20  # steps between two lines of the log (ppdet's log_iter)


@dataclass(frozen=True)
class Told:
    """How a training stands, for people."""

    position: Position  # that the step has led to
    epochs: int
    steps: int  # of an epoch
    losses: Mapping[str, float]
    rate: float
    pictures: int  # of the step, in all processes
    seconds: float  # that the step took
    waiting: float  # seconds of them that it waited for pictures
    skipped: int = 0  # steps in a row, up to this one, that half precision has left out


class Validate(Protocol):
    """Evaluates weights; all processes call it together."""

    def __call__(self, weights: Mapping[str, Tensor]) -> Mapping[str, float]:
        """COCO's numbers by their names; AP among them."""
        ...


class Training:
    """What one process does of a training."""

    def __init__(
        self,
        job: Job,
        ranks: Ranks,
        model: PicoDet,
        loader: Loader,
        settings: Mapping[str, Any],
        validate: Validate | None = None,
        show: Callable[[Told], None] = lambda told: None,
    ) -> None:
        recipe = job.recipe
        self.job, self.ranks, self.model, self.loader = job, ranks, model, loader
        self.settings, self.validate, self.show = settings, validate, show
        factors = {"backbone.": recipe.optimiser.backbone_factor}
        self.optimiser = optimiser(model, recipe.optimiser, factors)
        self.average = Average(model, recipe.averaging)
        self.stepper = Stepper(model, self.optimiser, self.average, ranks, job.amp)
        self.steps = loader.steps_per_epoch // job.accumulate
        self.rate = learning_rates(recipe.schedule, self.steps)
        self.normaliser = normaliser(recipe.box_normaliser, ranks)
        self.position = Position()
        self.results = Results(job, model.config)
        self.journal: Journal | None = None

    def resume(self, state: State) -> None:
        """Go on from there."""
        self.model.load_state_dict(dict(state.tensors["model"]))
        numbers = state.numbers
        self.optimiser.load_momenta(state.tensors["momenta"])
        self.average.load_state_dict({"average": state.tensors["average"], **numbers["average"]})
        self.stepper.scaler.load_state_dict(numbers["scaler"])
        self.position = state.position

    def run(self) -> Outcome:
        """To the end. Raises InterruptedTrainingError where somebody wanted it to end before."""
        first = self.ranks.rank == 0
        position = self.position
        if first:  # an epoch's evaluation is behind its last step
            self.journal = Journal(self.job.out, position.iteration, evaluated=position.step == 0)
        try:
            with Interruption() as interruption:
                while self.position.epoch < self.job.recipe.schedule.epochs:
                    self._epoch(interruption)
                    self._end_epoch()
        except RuntimeError as error:
            self.ranks.check()  # the others' end is the reason
            if any(text in str(error) for text in NO_MEMORY):
                raise TrainingError(
                    f"iteration {self.position.iteration}: there is not enough memory "
                    f"({str(error).splitlines()[0]}). A smaller --batch, with --accumulate for as "
                    "many pictures in a step, takes less; all up to the last state is kept"
                ) from error
            raise
        finally:
            if self.journal:
                self.journal.close()
        notes = (self.journal.note,) if self.journal and self.journal.note else ()
        return Outcome(
            self.position.epoch,
            self.position.iteration,
            self.position.best,
            self.results.files(),
            notes,
        )

    def _epoch(self, interruption: Interruption) -> None:
        recipe = self.job.recipe
        model = self.model.train()
        losses = criterion(
            recipe.assignment,
            recipe.losses,
            model.head.integral,
            self.normaliser,
            self.ranks.size,
            self.position.epoch,
        )
        several = self.job.accumulate
        batches = self.loader.epoch(self.position.epoch, self.position.step * several)
        while self.position.step < self.steps:
            self.ranks.check()  # torchrun itself may have been killed
            start = time.perf_counter()
            try:
                group = [next(batches).to(self.stepper.device) for _ in range(several)]
            except PicoDetError:
                self._save()  # nothing that was done is lost to a bad picture
                raise
            waited = time.perf_counter() - start
            iteration = self.position.iteration
            rate = self.rate(iteration)
            taken = self.stepper(group, losses, iteration, rate, interruption.wanted)
            self.position = self.position.next_step()
            self._tell(taken, rate, len(group[0].image_ids), start, waited)
            if taken.stop:
                self._save()
                raise InterruptedTrainingError(self.job.out, self.position) from interruption.cause
            if self.position.iteration % self.job.save_steps == 0:
                self._save()

    def _end_epoch(self) -> None:
        self._save()  # what follows may take its time, or not fit on the disk
        recipe, epoch = self.job.recipe, self.position.epoch + 1
        last = epoch == recipe.schedule.epochs
        snapshot = last or epoch % recipe.snapshot_epochs == 0
        evaluated = last or (self.job.evaluate_every and epoch % self.job.evaluate_every == 0)
        counts = snapshot or recipe.averaging.applied == "every epoch"
        averaged: Mapping[str, Tensor] = {}
        if counts or evaluated:  # only what ppdet applies counts for its cycle
            averaged = self.average.apply() if counts else self.average.current()
            averaged = of_the_first(averaged, self.ranks)
        best = self.position.best
        if evaluated and self.validate:
            best = self._evaluate(self.validate(averaged), epoch)
        self.position = self.position.next_epoch()
        if averaged and self.ranks.rank == 0:
            improved = best != self.position.best
            raw = self.model.state_dict()
            self.results.write(averaged, raw, epoch, ["last", *(["best"] if improved else [])])
        self.position = replace(self.position, best=best)
        self._save()

    def _evaluate(self, numbers: Mapping[str, float], epoch: int) -> Best | None:
        if self.journal:
            self.journal.write(EVALUATION, self.position.iteration, {"epoch": epoch, **numbers})
        best = self.position.best
        return Best(numbers["AP"], epoch) if best is None or numbers["AP"] > best.ap else best

    def _tell(self, taken: Taken, rate: float, batch: int, start: float, waited: float) -> None:
        losses, skipped = taken.losses, taken.skipped
        pictures = batch * self.job.accumulate * self.ranks.size
        seconds = time.perf_counter() - start
        epochs = self.job.recipe.schedule.epochs
        self.show(
            Told(
                self.position, epochs, self.steps, losses, rate, pictures, seconds, waited, skipped
            )
        )
        if self.journal and (self.position.iteration % LOGGED == 0 or self.position.iteration == 1):
            row = {"epoch": self.position.epoch + 1, "step": self.position.step, **losses}
            speed = {"rate": rate, "pictures_per_second": pictures / seconds}
            waits = {"waiting": waited / seconds}
            left_out = {"skipped": skipped} if skipped else {}
            self.journal.write("step", self.position.iteration, row | speed | waits | left_out)

    def _save(self) -> None:
        if self.ranks.rank != 0:
            return
        average = self.average.state_dict()
        tensors = {
            "model": self.model.state_dict(),
            "momenta": self.optimiser.momenta(),
            "average": average.pop("average"),
        }
        numbers = {"average": average, "scaler": self.stepper.scaler.state_dict()}
        saved = State(self.position, tensors, numbers, self.settings)
        states.save(self.job.out / states.FOLDER, saved, self.job.keep)
