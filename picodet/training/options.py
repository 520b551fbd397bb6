"""The options of a training, besides the recipe."""

from dataclasses import dataclass
from pathlib import Path

from picodet.training.recipes.schema import Recipe


@dataclass(frozen=True)
class TrainOptions:
    """One training: its recipe and how to run it. The defaults are those of picodet-train."""

    recipe: Recipe  # base_lr already scaled to the images per step
    out: Path  # folder for all output
    batch_size: int  # images per forward pass of one process
    accumulation_steps: int = 1  # forward and backward passes per optimizer step
    seed: int = 0
    device: str = "cpu"
    amp: bool = False  # mixed precision
    workers: int = 2  # data loader processes, per training process
    keep_checkpoints: int = 3  # the newest ones that are kept
    save_steps: int = 500  # steps between checkpoints; one is saved at each epoch's end, too
    evaluate_every: int = 10  # epochs; 0: never
    patience: int | None = None  # evaluations without a better AP, after which it stops
