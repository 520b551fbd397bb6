"""All that a training needs to go on as if it had never stopped, in one file of data.

A `.safetensors`: the model's tensors, those of the optimiser and of the average, and in its header
where the training stands. Pictures and their random numbers follow from seed, epoch and step
(picodet.training.data.dataloader), so that there is nothing else to remember.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
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
SHOWN = 5  # differences in an error
FILES = "[0-9]" * 9 + ".safetensors"  # by iteration


@dataclass(frozen=True)
class Best:
    """The best evaluation so far."""

    ap: float
    epoch: int  # counted from 1


@dataclass(frozen=True)
class Progress:
    """Where a training stands: what is to be done next."""

    epoch: int = 0  # counted from 0
    step: int = 0  # of the epoch
    iteration: int = 0  # of the training
    best: Best | None = None

    def next_step(self) -> "Progress":
        """A step later, in the same epoch."""
        return replace(self, step=self.step + 1, iteration=self.iteration + 1)

    def next_epoch(self) -> "Progress":
        """At the beginning of the next one."""
        return replace(self, epoch=self.epoch + 1, step=0)


@dataclass(frozen=True)
class Checkpoint:
    """A training at a position; `numbers` are what its parts remember besides tensors."""

    progress: Progress
    tensors: Mapping[str, Mapping[str, Tensor]]  # of each of PARTS
    numbers: Mapping[str, Any]
    settings: Mapping[str, Any]  # what all numbers depend on: a state goes on under the same only


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Whole or not at all; of the older ones `keep - 1` stay.

    Raises OutputError where it cannot be written: what was there before is untouched.
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
    """The state to go on from."""
    return max(folder.glob(FILES), default=None)


def load(path: Path) -> Checkpoint:
    """Raises TrainingError where the file is not what `save` has written."""
    tensors: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    try:
        with safe_open(regular_file(path), "pt") as file:
            sums = safetensors_writer.Checksums(path)
            header = json.loads(
                (file.metadata() or {}).get(HEADER, "{}"), object_pairs_hook=unique_keys
            )
            for name in file.keys():  # noqa: SIM118  # it is no dictionary
                part, _, own = name.partition(".")
                tensors[part][own] = tensor = file.get_tensor(name)
                sums.check(name, tensor.numpy())
        numbers, settings = header["numbers"], header["settings"]
        if not (isinstance(numbers, dict) and isinstance(settings, dict)):
            raise TypeError("its numbers or settings are no dictionary")
        return Checkpoint(_progress(header["progress"]), tensors, numbers, settings)
    except (
        *(SafetensorError, OSError, KeyError, TypeError, ValueError),
        *(AttributeError, RecursionError, OverflowError),
    ) as error:
        reason = f"{type(error).__name__} {error}"
        raise TrainingError(
            f"{path}: is no state of a training, or a damaged one ({reason}). Delete it, and "
            "--resume takes the one before"
        ) from error


def _progress(content: Mapping[str, Any]) -> Progress:
    """Raises KeyError, TypeError or ValueError where it is nowhere."""
    numbers = {name: content[name] for name in ("epoch", "step", "iteration")}
    best = content["best"]
    if best is not None:
        best = Best(float(best["ap"]), best["epoch"])
        numbers["best epoch"] = best.epoch
    if any(type(number) is not int or number < 0 for number in numbers.values()):
        raise ValueError(f"a position of {numbers!r:.200}")
    return Progress(content["epoch"], content["step"], content["iteration"], best)


def check_same_settings(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise TrainingError where a training would go on under other numbers than it began with."""
    before = dict(_flat(found))
    now = dict(_flat(json.loads(json.dumps(wanted))))  # tuples are lists in a file
    differing = [
        f"{name} was {before.get(name)!r:.100}, is {now.get(name)!r:.100}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    if differing:
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise TrainingError(
            f"{path} belongs to another training: {'; '.join(differing[:SHOWN])}{more}. Go on with "
            "what it began with, or begin anew in another --out"
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names in full, as "recipe.schedule.epochs", and values."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


NAMES = ("last", "best")
KINDS = ("ema", "raw")


class WeightWriter:
    """Written into the folder of a job."""

    def __init__(self, options: TrainOptions, config: ModelConfig) -> None:
        self.folder, self.config = options.out, config
        recipe = json.dumps(asdict(options.recipe), sort_keys=True)
        self.source = f"picodet-train {options.recipe.model.name}"
        self.digest = hashlib.sha256(recipe.encode()).hexdigest()

    def files(self) -> tuple[Path, ...]:
        """Those that there are."""
        named = (self.folder / f"{name}_{kind}.pth" for name in NAMES for kind in KINDS)
        return tuple(path for path in named if path.is_file())

    def write(
        self,
        ema_weights: Mapping[str, Tensor],
        raw: Mapping[str, Tensor],
        epoch: int,
        names: Sequence[str],
    ) -> None:
        """Raises OutputError where the disk is full: what was there before is untouched."""
        for kind, weights in zip(KINDS, (ema_weights, raw), strict=True):
            arrays = {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}
            source = f"{self.source}, epoch {epoch}, {kind} weights"
            meta = make_meta(self.config, "detector", source, self.digest)
            meta |= {"weights": kind, "epoch": epoch}
            for name in names:
                save_weights(self.folder / f"{name}_{kind}.pth", arrays, meta)
