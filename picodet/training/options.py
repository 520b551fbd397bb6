"""What a user wants to be trained, and how, besides the recipe."""

from dataclasses import dataclass
from pathlib import Path

from picodet.training.recipes.schema import Recipe


@dataclass(frozen=True)
class TrainOptions:
    """One training. What changes its numbers, and what only changes how it runs."""

    recipe: Recipe  # its rate is that of the pictures that a step really has
    out: Path  # folder of everything that it writes
    batch_size: int  # pictures that one process takes through the network at a time
    accumulation_steps: int = 1  # times that it does so for a step
    seed: int = 0
    device: str = "cpu"
    amp: bool = False  # half precision where that is safe
    workers: int = 2  # that read pictures, for each process
    keep_checkpoints: int = 3  # states that are kept, the newest
    save_steps: int = 500  # between two states; there is one at the end of each epoch, too
    evaluate_every: int = 10  # epochs; 0 for never
