"""One line on a terminal that tells how a training goes; silent where there is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from picodet.machine import peak_memory
from picodet.training.loop import Told

SHARE = 0.1  # of the newest step, in what is shown of losses and speed


def memory_used(device: str) -> str:
    """The most that was used so far, of the GPU or else of this process; "" where none can say."""
    on_gpu = device.startswith("cuda")
    most = torch.cuda.max_memory_allocated() if on_gpu else peak_memory()
    return "" if most is None else f", {most / 2**30:.1f} GiB"


@contextmanager
def progress_line(device: str, first: bool) -> Iterator[Callable[[Told], None]]:
    """Yields what is called after each step; `first`: whether this process may show anything."""
    console = Console(stderr=True)
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=16),
        TextColumn("{task.completed}/{task.total}  {task.fields[losses]}  {task.fields[speed]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    smooth: dict[str, float] = {}
    shown = first and console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("", total=None, epoch="", losses="", speed="")

        def show(told: Told) -> None:
            now = dict(told.losses) | {"speed": told.pictures / told.seconds}
            for name, value in now.items():
                smooth[name] = SHARE * value + (1 - SHARE) * smooth.get(name, value)
            losses = " ".join(f"{name} {smooth[name]:.3f}" for name in told.losses)
            speed = f"{smooth['speed']:.1f} images/s{memory_used(device)}"
            bar.update(
                task,
                completed=told.position.iteration,
                total=told.epochs * told.steps,
                epoch=f"{told.position.epoch + 1}/{told.epochs}",
                losses=f"{losses}  lr {told.rate:.4g}{_skipped(told)}",
                speed=speed,
            )

        yield show


def _skipped(told: Told) -> str:
    return f"  {told.skipped} steps left out, not finite in half precision" if told.skipped else ""
