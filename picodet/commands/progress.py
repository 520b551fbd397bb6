"""Progress of long work: a bar on a terminal, else a line every few seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from picodet.system import intervals
from picodet.system.machine import peak_memory

if TYPE_CHECKING:
    from picodet.training.callbacks import TrainCallbacks
    from picodet.training.trainer import StepLog

SMOOTHING = 0.1  # weight of the newest step in the losses and the speed that are shown


@contextmanager
def progress_bar(
    description: str, unit: str = "", clock: intervals.Clock = time.monotonic
) -> Iterator[Callable[[int, int], None]]:
    """Context manager that yields a callback (done, total), which moves a bar on standard error.

    If standard error is not a terminal, it prints lines, as `progress_logger`. With a unit it shows
    the number per second.
    """
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} {unit}/s" if speed else "")

    console = Console(stderr=True)
    if not console.is_terminal:
        yield progress_logger(description, unit, clock)
        return
    columns = (*Progress.get_default_columns(), *((Speed(),) if unit else ()))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def progress_logger(
    description: str, unit: str = "", clock: intervals.Clock = time.monotonic
) -> Callable[[int, int], None]:
    """A callback (done, total) that prints a line on standard error every LINE_INTERVAL seconds.

    With a unit it shows the numbers and the speed, without one only the share.
    """
    due, start = intervals.IntervalTimer(intervals.LINE_INTERVAL, clock), clock()

    def update(done: int, total: int) -> None:
        if due() and total > 0:
            share = f"{done:,} of {total:,} {unit}, " if unit else ""
            speed = f", {done / (clock() - start):.1f} {unit}/s" if unit else ""
            click.echo(f"{description}: {share}{done / total:.0%}{speed}", err=True)

    return update


def memory_used(device: str) -> str:
    """Peak memory of the GPU, or else of this process, as text; "" if unknown."""
    import torch

    on_gpu = device.startswith("cuda")
    most = torch.cuda.max_memory_allocated() if on_gpu else peak_memory()
    return "" if most is None else f", {most / 2**30:.1f} GiB"


class _Smoothed:
    """Losses and speed, smoothed over the steps."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.values: dict[str, float] = {}

    def __call__(self, log: "StepLog") -> tuple[str, str]:
        now = dict(log.losses) | {"speed": log.images / log.seconds}
        for name, value in now.items():
            self.values[name] = SMOOTHING * value + (1 - SMOOTHING) * self.values.get(name, value)
        losses = " ".join(f"{name} {self.values[name]:.3f}" for name in log.losses)
        speed = f"{self.values['speed']:.1f} images/s{memory_used(self.device)}"
        return f"{losses}  lr {log.lr:.4g}{_skipped(log)}", speed


def progress_lines(device: str, clock: intervals.Clock = time.monotonic) -> "TrainCallbacks":
    """Callbacks that print a line on stderr every LINE_INTERVAL seconds, for log files."""
    from picodet.training.callbacks import TrainCallbacks

    smooth, due = _Smoothed(device), intervals.IntervalTimer(intervals.LINE_INTERVAL, clock)

    def step(log: "StepLog") -> None:
        losses, speed = smooth(log)
        if due():
            where = f"epoch {log.progress.epoch + 1}/{log.epochs}"
            done = f"step {log.progress.step:,}/{log.steps:,}"
            click.echo(f"{where}  {done}  {losses}  {speed}", err=True)

    return TrainCallbacks(
        note=_print_note,
        checking_images=progress_logger("checking images", "images", clock),
        step=step,
        evaluating=progress_logger("evaluating", "images", clock),
    )


@contextmanager
def progress_line(device: str, first: bool) -> Iterator["TrainCallbacks"]:
    """Context manager that yields callbacks for a progress bar, or for lines if not on a terminal.

    first: whether this is the process that shows progress (rank 0); others get callbacks that do
    nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from picodet.training.callbacks import TrainCallbacks

    console = Console(stderr=True)
    if not (first and console.is_terminal):
        yield progress_lines(device) if first else TrainCallbacks()
        return
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=16),
        TextColumn("{task.completed}/{task.total}  {task.fields[losses]}  {task.fields[speed]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    smooth = _Smoothed(device)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, epoch="", losses="", speed="")

        def show(log: "StepLog") -> None:
            losses, speed = smooth(log)
            bar.update(
                task,
                completed=log.progress.epoch * log.steps + log.progress.step,
                total=log.epochs * log.steps,
                epoch=f"{log.progress.epoch + 1}/{log.epochs}",
                losses=losses,
                speed=speed,
            )

        def show_task(what: str) -> Callable[[int, int], None]:
            return lambda done, total: bar.update(
                task, speed=f"{what} {done:,} of {total:,} images"
            )

        yield TrainCallbacks(_print_note, show_task("checking"), show, show_task("evaluating"))


def _print_note(note: str) -> None:
    click.echo(note, err=True)


def _skipped(log: "StepLog") -> str:
    return f"  {log.skipped} steps skipped, not finite in half precision" if log.skipped else ""
