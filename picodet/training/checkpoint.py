"""Checkpoints: everything that a training needs to resume with the same bits, in one file.

A `.safetensors` with the tensors of model, optimizer and EMA; its header holds the progress. Images
and their augmentation follow from seed, epoch and step (picodet.training.data.batch_reader), so
that no random state is saved. Also the weight files, last_ema.pth and others.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from picodet.config import ModelConfig
from picodet.errors import TrainingError
from picodet.files import atomic_write, regular_file
from picodet.formats import safetensors_writer
from picodet.formats.meta import make_meta
from picodet.formats.strict_json import unique_keys
from picodet.models.checkpoint import save as save_weights
from picodet.training.options import TrainOptions

FOLDER = "checkpoints"
HEADER = "picodet_training"
PARTS = ("model", "momentum_buffers", "ema")
FILES = "[0-9]" * 9 + ".safetensors"  # by iteration


@dataclass(frozen=True)
class Best:
    """The best evaluation so far."""

    ap: float
    epoch: int  # counted from 1


@dataclass(frozen=True)
class Progress:
    """Position of a training: the step to take next."""

    epoch: int = 0  # counted from 0
    step: int = 0  # within the epoch
    iteration: int = 0  # step within the training
    best: Best | None = None
    since_best: int = 0  # evaluations after the best one

    def next_step(self) -> "Progress":
        """One step later, in the same epoch."""
        return replace(self, step=self.step + 1, iteration=self.iteration + 1)

    def next_epoch(self) -> "Progress":
        """At the start of the next epoch."""
        return replace(self, epoch=self.epoch + 1, step=0)


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint; `numbers`: what EMA and gradient scaler keep besides tensors."""

    progress: Progress
    tensors: Mapping[str, Mapping[str, Tensor]]  # by part (PARTS), then by name
    numbers: Mapping[str, Any]
    settings: Mapping[str, Any]  # what all numbers depend on, see picodet.training.resume


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint atomically, and delete all but the `keep` newest of the folder.

    Returns its path. Raises OutputError if it cannot be written; older ones are untouched then.
    """
    flat = {
        f"{part}.{name}": tensor.detach().cpu().numpy()
        for part in PARTS
        for name, tensor in checkpoint.tensors[part].items()
    }
    header = {
        "progress": asdict(checkpoint.progress),
        "numbers": checkpoint.numbers,
        "settings": checkpoint.settings,
    }
    path = folder / f"{checkpoint.progress.iteration:09d}.safetensors"
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        safetensors_writer.write(file, flat, {HEADER: json.dumps(header)})
    for old in sorted(folder.glob(FILES))[:-keep]:
        old.unlink(missing_ok=True)
    return path


def newest(folder: Path) -> Path | None:
    """The newest checkpoint of a folder; None if there is none."""
    return max(folder.glob(FILES), default=None)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises TrainingError for a file that `save` has not written."""
    tensors: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    try:
        with safe_open(regular_file(path), "pt") as file:
            sums = safetensors_writer.Checksums(path)
            header = json.loads(
                (file.metadata() or {}).get(HEADER, "{}"), object_pairs_hook=unique_keys
            )
            for name in file.keys():  # noqa: SIM118  # not a dictionary
                part, _, own = name.partition(".")
                tensors[part][own] = tensor = file.get_tensor(name)
                sums.check(name, tensor.numpy())
        numbers, settings = header["numbers"], header["settings"]
        if not (isinstance(numbers, dict) and isinstance(settings, dict)):
            raise TypeError("its numbers or settings are not a dictionary")
        return Checkpoint(_progress(header["progress"]), tensors, numbers, settings)
    except (
        *(SafetensorError, OSError, KeyError, TypeError, ValueError),
        *(AttributeError, RecursionError, OverflowError),
    ) as error:
        reason = f"{type(error).__name__} {error}"
        raise TrainingError(
            f"{path}: not a training checkpoint, or damaged ({reason}). Delete it, and --resume "
            "uses the one before"
        ) from error


def _progress(content: Mapping[str, Any]) -> Progress:
    """Raises KeyError, TypeError or ValueError if it is invalid."""
    numbers = {name: content[name] for name in ("epoch", "step", "iteration")}
    numbers["since_best"] = content.get("since_best", 0)  # older checkpoints have none
    best = content["best"]
    if best is not None:
        best = Best(float(best["ap"]), best["epoch"])
        numbers["best epoch"] = best.epoch
    if any(type(number) is not int or number < 0 for number in numbers.values()):
        raise ValueError(f"invalid progress {numbers!r:.200}")
    numbers.pop("best epoch", None)
    return Progress(**numbers, best=best)


NAMES = ("last", "best")
KINDS = ("ema", "raw")


class WeightWriter:
    """Writes the weight files of a training: {last,best}_{ema,raw}.pth in its folder."""

    def __init__(self, options: TrainOptions, config: ModelConfig) -> None:
        self.folder, self.config = options.out, config
        recipe = json.dumps(asdict(options.recipe), sort_keys=True)
        self.source = f"picodet-train {options.recipe.model.name}"
        self.digest = hashlib.sha256(recipe.encode()).hexdigest()

    def files(self) -> tuple[Path, ...]:
        """The weight files that exist."""
        named = (self.folder / f"{name}_{kind}.pth" for name in NAMES for kind in KINDS)
        return tuple(path for path in named if path.is_file())

    def write(
        self,
        ema_weights: Mapping[str, Tensor],
        raw: Mapping[str, Tensor],
        epoch: int,
        names: Sequence[str],
    ) -> None:
        """Write EMA and raw weights under each of `names` ("last", "best").

        Raises OutputError, e.g. for a full disk; an older file is untouched then.
        """
        for kind, weights in zip(KINDS, (ema_weights, raw), strict=True):
            arrays = {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}
            source = f"{self.source}, epoch {epoch}, {kind} weights"
            meta = make_meta(self.config, "detector", source, self.digest)
            meta |= {"weights": kind, "epoch": epoch}
            for name in names:
                save_weights(self.folder / f"{name}_{kind}.pth", arrays, meta)
