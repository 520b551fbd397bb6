"""The weights that a training yields: files like converted ones, that every command takes.

last_ema.pth, last_raw.pth    after the newest snapshot: the average, and the weights themselves
best_ema.pth, best_raw.pth    after the best evaluation of the average
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from picodet.config import ModelConfig
from picodet.formats.meta import describe
from picodet.models.checkpoint import save
from picodet.training.options import Job

NAMES = ("last", "best")
KINDS = ("ema", "raw")


class Results:
    """Written into the folder of a job."""

    def __init__(self, job: Job, config: ModelConfig) -> None:
        self.folder, self.config = job.out, config
        recipe = json.dumps(asdict(job.recipe), sort_keys=True)
        self.source = f"picodet-train {job.recipe.model.name}"
        self.digest = hashlib.sha256(recipe.encode()).hexdigest()

    def files(self) -> tuple[Path, ...]:
        """Those that there are."""
        named = (self.folder / f"{name}_{kind}.pth" for name in NAMES for kind in KINDS)
        return tuple(path for path in named if path.is_file())

    def write(
        self,
        averaged: Mapping[str, Tensor],
        raw: Mapping[str, Tensor],
        epoch: int,
        names: Sequence[str],
    ) -> None:
        """Raises OutputError where the disk is full: what was there before is untouched."""
        for kind, weights in zip(KINDS, (averaged, raw), strict=True):
            arrays = {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}
            source = f"{self.source}, epoch {epoch}, {kind} weights"
            meta = describe(self.config, "detector", source, self.digest)
            meta |= {"weights": kind, "epoch": epoch}
            for name in names:
                save(self.folder / f"{name}_{kind}.pth", arrays, meta)
