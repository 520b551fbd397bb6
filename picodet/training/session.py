"""What `picodet-train` does: recipe, dataset and weights -> a training that can be run."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from picodet import __version__
from picodet.config import ModelConfig
from picodet.errors import TrainingError
from picodet.files import check_new_folder, sha256
from picodet.inference.torch_network import on_device
from picodet.ranks import Ranks
from picodet.training import state as states
from picodet.training.freezing import freeze
from picodet.training.job import Job
from picodet.training.loader import Loader
from picodet.training.loop import Training, Validate
from picodet.training.recipe import Recipe
from picodet.training.recipe_batch import for_batch, rule_note
from picodet.training.samples import read_samples
from picodet.training.starting import OldHead, start
from picodet.training.synchronised import synchronise


@dataclass(frozen=True)
class Data:
    """A dataset in COCO's format, to be trained on."""

    pictures: Path
    annotations: Path


@dataclass(frozen=True)
class Beginning:
    """The weights that a new training begins with."""

    weights: Path | None
    head: OldHead = "keep"


@dataclass(frozen=True)
class Prepared:
    """A training at its beginning, or where it was left off, and what there is to say of it."""

    training: Training
    notes: tuple[str, ...]


def with_classes(recipe: Recipe, classes: tuple[str, ...] | None) -> Recipe:
    """The same for other things to find."""
    if classes is None or classes == recipe.model.classes:
        return recipe
    name = f"{recipe.model.name}_{len(classes)}_classes"
    return replace(recipe, model=replace(recipe.model, name=name, classes=classes))


def with_rate(recipe: Recipe, batch: int, shares: int, rate: float | None) -> tuple[Recipe, str]:
    """For `shares` times `batch` pictures a step: its rate, or the one that is asked for."""
    used = for_batch(recipe, batch, shares)
    if rate is not None:
        schedule = replace(used.schedule, base_rate=rate)
        return replace(used, schedule=schedule), f"base rate {rate:g}, as asked"
    kept = f"base rate {used.schedule.base_rate:g} for {used.batches.total} pictures a step"
    return used, rule_note(recipe, used) or f"{kept}, as in the recipe"


def prepare(
    job: Job,
    data: Data,
    beginning: Beginning,
    ranks: Ranks,
    resume: bool,
    validation: Callable[[ModelConfig], Validate] | None,
    show: Callable[[Any], None],
) -> Prepared:
    """Raises TrainingError where it cannot begin, or go on, as asked, and what reading raises."""
    recipe = job.recipe
    folder = job.out / states.FOLDER
    newest = states.newest(folder)
    if newest is not None and not resume:
        raise TrainingError(
            f"{job.out} holds a training of {int(newest.stem):,} steps: --resume goes on with it; "
            "for a new one name another --out"
        )
    samples = read_samples(data.annotations, data.pictures, recipe.model.classes)
    loader = Loader(
        samples=samples,
        augmentation=recipe.augmentation,
        preprocessing=recipe.model.preprocessing,
        per_step=job.batch,
        seed=job.seed,
        rank=ranks.rank,
        ranks=ranks.size,
        workers=job.workers,
    )
    if loader.steps_per_epoch < job.accumulate:
        wanted = job.batch * job.accumulate * ranks.size
        raise TrainingError(
            f"{data.annotations}: {len(samples)} pictures to train on are fewer than the {wanted} "
            "of a step; a smaller --batch or --accumulate is needed"
        )
    begun = start(recipe.model, job.seed, beginning.weights, beginning.head)
    model = on_device(begun.model, job.device)
    freeze(model, recipe.frozen)
    if recipe.synchronised_norm and ranks.size > 1:
        synchronise(model)
    settings = _settings(job, data, beginning, ranks)
    validate = validation(recipe.model) if validation else None
    training = Training(job, ranks, model, loader, settings, validate, show)
    notes = [f"{len(samples):,} pictures, {training.steps:,} steps an epoch"]
    if newest is None:
        if ranks.rank == 0:
            check_new_folder(job.out, overwrite=True)
            folder.mkdir(parents=True, exist_ok=True)
        return Prepared(training, (*notes, *begun.notes))
    state = states.load(newest)
    states.check_same(newest, state.settings, settings)
    training.resume(state)
    position = state.position
    notes.append(f"goes on after step {position.step} of epoch {position.epoch + 1}, from {newest}")
    return Prepared(training, tuple(notes))


def _settings(job: Job, data: Data, beginning: Beginning, ranks: Ranks) -> dict[str, Any]:
    """All that the numbers of a training depend on."""
    return {
        "picodet": __version__,
        "recipe": asdict(job.recipe),
        "batch": job.batch,
        "accumulate": job.accumulate,
        "processes": ranks.size,
        "seed": job.seed,
        "device": job.device.split(":")[0],
        "amp": job.amp,
        "evaluate_every": job.evaluate_every,
        "annotations": sha256(data.annotations),
        "weights": str(beginning.weights),
        "head": beginning.head,
    }
