"""What `picodet-train` does: recipe, dataset and weights -> a training that can be run."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from picodet.config import Kernels, ModelConfig
from picodet.data.coco import read_annotations
from picodet.data.resize_kernels import fingerprint, name_of
from picodet.distributed import Ranks
from picodet.errors import TrainingError
from picodet.files import check_folder, sha256
from picodet.inference.torch_backend import on_device
from picodet.system import locks
from picodet.system.locks import Lock
from picodet.system.versions import cpu
from picodet.training import checkpoint as states
from picodet.training.data import image_record
from picodet.training.data.dataloader import Loader
from picodet.training.data.dataset import read_samples
from picodet.training.freezing import freeze
from picodet.training.options import Job
from picodet.training.pretrained import OldHead, start
from picodet.training.recipes.batch_scaling import for_batch, rule_note
from picodet.training.recipes.schema import Recipe
from picodet.training.sync_batchnorm import synchronise
from picodet.training.trainer import Training, Validate
from picodet.version import __version__

RESIZED_BY = "resized by"  # of a state's settings: what may change, and is told then

IMAGES, TRAIN, VAL = "images", "train", "val"  # in a state's settings
Progress = Callable[[int, int], None]


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
    lock: Lock | None  # that keeps others out of the folder; to be released at the end


def with_classes(recipe: Recipe, classes: tuple[str, ...] | None) -> Recipe:
    """The same for other things to find."""
    if classes is None or classes == recipe.model.classes:
        return recipe
    name = f"{recipe.model.name}_{len(classes)}_classes"
    return replace(recipe, model=replace(recipe.model, name=name, classes=classes))


def with_resize(recipe: Recipe, kernels: Kernels | None) -> Recipe:
    """The same with pictures resized by other kernels; None leaves the recipe's."""
    if kernels is None:
        return recipe
    numbers = replace(recipe.model.preprocessing, resize=kernels)
    return replace(recipe, model=replace(recipe.model, preprocessing=numbers))


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
    evaluated: Data | None,
    beginning: Beginning,
    ranks: Ranks,
    resume: bool,
    validation: Callable[[ModelConfig], Validate] | None,
    show: Callable[[Any], None],
    looking: Progress = lambda done, total: None,
) -> Prepared:
    """looking: told how many images were looked at, whether they are those of before.

    Raises TrainingError where it cannot begin, or go on, as asked, and what reading raises.
    """
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
    paths = {
        TRAIN: [data.pictures / file for file in samples.files],
        VAL: _pictures(evaluated) if evaluated else [],
    }
    known = {name: image_record.read(job.out, name) for name in paths}
    rows = {name: image_record.look(paths[name], known[name], ranks, looking) for name in paths}
    settings = _settings(job, data, evaluated, beginning, ranks)
    images = {name: image_record.digest(rows[name]) for name in rows}
    validate = validation(recipe.model) if validation else None
    training = Training(job, ranks, model, loader, settings | {IMAGES: images}, validate, show)
    notes = [f"{len(samples):,} pictures, {training.steps:,} steps an epoch", *samples.notes]
    lock = None
    if newest is None:
        if ranks.rank == 0:
            check_folder(job.out)
            folder.mkdir(parents=True, exist_ok=True)
            lock = _alone(job.out, newest)
            image_record.write(job.out, **rows)
        return Prepared(training, (*notes, *begun.notes), lock)
    state = states.load(newest)
    before = dict(state.settings)
    images_before = before.pop(IMAGES, images)
    notes += _moved(before.pop(RESIZED_BY, None), settings[RESIZED_BY])
    states.check_same(newest, before, {k: v for k, v in settings.items() if k != RESIZED_BY})
    for name, what in ((TRAIN, "train on"), (VAL, "evaluate on")):
        if images_before.get(name) != images[name]:
            image_record.refuse_others(paths[name], known[name], rows[name], newest, what)
    if ranks.rank == 0:
        lock = _alone(job.out, newest)
        image_record.write(job.out, **rows)
    training.resume(state)
    position = state.position
    notes.append(f"goes on after step {position.step} of epoch {position.epoch + 1}, from {newest}")
    return Prepared(training, tuple(notes), lock)


def _alone(out: Path, newest: Path | None) -> Lock:
    """The folder is this training's from now on, and nobody has gone on with it meanwhile."""
    name = out / "training"
    lock = locks.take(name)
    if lock is None:
        raise TrainingError(
            f"{out}: {locks.holder(name)} is training into this folder at this moment; wait for "
            "its end, or name another --out"
        )
    if states.newest(out / states.FOLDER) != newest:
        lock.release()
        raise TrainingError(f"{out}: another process has trained into it until now; start again")
    return lock


def _pictures(data: Data) -> list[Path]:
    """All of an annotation file."""
    annotations = read_annotations(data.annotations)
    return [data.pictures / picture.file for picture in annotations.pictures]


def _resized_by(kernels: Kernels) -> dict[str, str]:
    """Fingerprints of all that a training resizes: bytes, and floats behind the distortion."""
    return {
        f"{interp} {dtype}": found
        for dtype in ("uint8", "float32", "float64")
        for interp, found in fingerprint(kernels, dtype).items()
    } | {"kernels": f"{name_of(kernels)}, {cpu()}"}


def _moved(before: Any, now: Mapping[str, str]) -> list[str]:
    """A note where a training goes on on a machine that resizes otherwise."""
    if not isinstance(before, dict) or all(
        before.get(name) == found for name, found in now.items() if name != "kernels"
    ):
        return []
    return [
        f"the pictures were resized by other kernels before ({before.get('kernels')}; now "
        f"{now['kernels']}): what follows is not bit for bit what it would have been there. "
        "--resize portable is for trainings that move"
    ]


def _settings(
    job: Job, data: Data, evaluated: Data | None, beginning: Beginning, ranks: Ranks
) -> dict[str, Any]:
    """All that the numbers of a training depend on."""
    return {
        "picodet": __version__,
        "recipe": asdict(job.recipe),
        RESIZED_BY: _resized_by(job.recipe.model.preprocessing.resize),
        "batch": job.batch,
        "accumulate": job.accumulate,
        "processes": ranks.size,
        "seed": job.seed,
        "device": job.device.split(":")[0],
        "amp": job.amp,
        "evaluate_every": job.evaluate_every,
        "annotations": sha256(data.annotations),
        "val_annotations": evaluated and sha256(evaluated.annotations),
        "weights": str(beginning.weights),
        "head": beginning.head,
    }
