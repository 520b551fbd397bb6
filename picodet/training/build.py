"""What `picodet-train` does: recipe, dataset and weights -> a training that can be run."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from picodet.config import ModelConfig, ResizeKernels
from picodet.data.coco import read_annotations
from picodet.data.resize_kernels import fingerprint, name_of
from picodet.distributed import ProcessGroup
from picodet.errors import TrainingError
from picodet.files import check_folder, sha256
from picodet.inference.torch_backend import on_device
from picodet.system import locks
from picodet.system.locks import Lock
from picodet.system.versions import cpu
from picodet.training import checkpoint as checkpoints
from picodet.training.data import image_record
from picodet.training.data.dataloader import Loader
from picodet.training.data.dataset import read_dataset
from picodet.training.freezing import freeze
from picodet.training.options import TrainOptions
from picodet.training.pretrained import HeadInit, init_model
from picodet.training.recipes.batch_scaling import scaled_to_batch, scaling_note
from picodet.training.recipes.schema import Recipe
from picodet.training.sync_batchnorm import convert_sync_batchnorm
from picodet.training.trainer import Trainer, Validate
from picodet.version import __version__

RESIZED_BY = "resized by"  # of a state's settings: what may change, and is told then

IMAGES, TRAIN, VAL = "images", "train", "val"  # in a state's settings
ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True)
class DatasetPaths:
    """A dataset in COCO's format, to be trained on."""

    images: Path
    annotations: Path


@dataclass(frozen=True)
class InitWeights:
    """The weights that a new training begins with."""

    weights: Path | None
    head: HeadInit = "reuse"


@dataclass(frozen=True)
class PreparedTraining:
    """A training at its beginning, or where it was left off, and what there is to say of it."""

    trainer: Trainer
    notes: tuple[str, ...]
    lock: Lock | None  # that keeps others out of the folder; to be released at the end


def with_classes(recipe: Recipe, classes: tuple[str, ...] | None) -> Recipe:
    """The same for other things to find."""
    if classes is None or classes == recipe.model.classes:
        return recipe
    name = f"{recipe.model.name}_{len(classes)}_classes"
    return replace(recipe, model=replace(recipe.model, name=name, classes=classes))


def with_resize(recipe: Recipe, kernels: ResizeKernels | None) -> Recipe:
    """The same with pictures resized by other kernels; None leaves the recipe's."""
    if kernels is None:
        return recipe
    numbers = replace(recipe.model.preprocessing, resize=kernels)
    return replace(recipe, model=replace(recipe.model, preprocessing=numbers))


def with_lr(
    recipe: Recipe, batch: int, batches_per_step: int, lr: float | None
) -> tuple[Recipe, str]:
    """For `batches_per_step` times `batch` images a step: its rate, or the one asked for."""
    used = scaled_to_batch(recipe, batch, batches_per_step)
    if lr is not None:
        schedule = replace(used.schedule, base_lr=lr)
        return replace(used, schedule=schedule), f"base rate {lr:g}, as asked"
    kept = f"base rate {used.schedule.base_lr:g} for {used.batches.total} pictures a step"
    return used, scaling_note(recipe, used) or f"{kept}, as in the recipe"


def prepare(
    options: TrainOptions,
    data: DatasetPaths,
    val_data: DatasetPaths | None,
    init: InitWeights,
    ranks: ProcessGroup,
    resume: bool,
    validation: Callable[[ModelConfig], Validate] | None,
    show: Callable[[Any], None],
    checking_images: ProgressCallback = lambda done, total: None,
) -> PreparedTraining:
    """checking_images: told how many images were looked at, whether they are those of before.

    Raises TrainingError where it cannot begin, or go on, as asked, and what reading raises.
    """
    recipe = options.recipe
    folder = options.out / checkpoints.FOLDER
    newest = checkpoints.newest(folder)
    if newest is not None and not resume:
        raise TrainingError(
            f"{options.out} holds a training of {int(newest.stem):,} steps: --resume goes on with "
            "it; for a new one name another --out"
        )
    dataset = read_dataset(data.annotations, data.images, recipe.model.classes)
    loader = Loader(
        dataset=dataset,
        augmentation=recipe.augmentation,
        preprocessing=recipe.model.preprocessing,
        batch_size=options.batch_size,
        seed=options.seed,
        rank=ranks.rank,
        ranks=ranks.size,
        workers=options.workers,
    )
    if loader.steps_per_epoch < options.accumulation_steps:
        wanted = options.batch_size * options.accumulation_steps * ranks.size
        raise TrainingError(
            f"{data.annotations}: {len(dataset)} pictures to train on are fewer than the {wanted} "
            "of a step; a smaller --batch or --accumulation-steps is needed"
        )
    initialized = init_model(recipe.model, options.seed, init.weights, init.head)
    model = on_device(initialized.model, options.device)
    freeze(model, recipe.frozen)
    if recipe.sync_bn and ranks.size > 1:
        convert_sync_batchnorm(model)
    paths = {
        TRAIN: [data.images / file for file in dataset.files],
        VAL: _image_paths(val_data) if val_data else [],
    }
    known = {name: image_record.read(options.out, name) for name in paths}
    rows = {
        name: image_record.scan(paths[name], known[name], ranks, checking_images) for name in paths
    }
    settings = _settings(options, data, val_data, init, ranks)
    images = {name: image_record.digest(rows[name]) for name in rows}
    validate = validation(recipe.model) if validation else None
    trainer = Trainer(options, ranks, model, loader, settings | {IMAGES: images}, validate, show)
    notes = [f"{len(dataset):,} pictures, {trainer.steps:,} steps an epoch", *dataset.notes]
    lock = None
    if newest is None:
        if ranks.rank == 0:
            check_folder(options.out)
            folder.mkdir(parents=True, exist_ok=True)
            lock = _lock_folder(options.out, newest)
            image_record.write(options.out, **rows)
        return PreparedTraining(trainer, (*notes, *initialized.notes), lock)
    checkpoint = checkpoints.load(newest)
    before = dict(checkpoint.settings)
    images_before = before.pop(IMAGES, images)
    notes += _kernel_note(before.pop(RESIZED_BY, None), settings[RESIZED_BY])
    checkpoints.check_same_settings(
        newest, before, {k: v for k, v in settings.items() if k != RESIZED_BY}
    )
    for name, what in ((TRAIN, "train on"), (VAL, "evaluate on")):
        if images_before.get(name) != images[name]:
            image_record.refuse_others(paths[name], known[name], rows[name], newest, what)
    if ranks.rank == 0:
        lock = _lock_folder(options.out, newest)
        image_record.write(options.out, **rows)
    trainer.resume(checkpoint)
    progress = checkpoint.progress
    notes.append(f"goes on after step {progress.step} of epoch {progress.epoch + 1}, from {newest}")
    return PreparedTraining(trainer, tuple(notes), lock)


def _lock_folder(out: Path, newest: Path | None) -> Lock:
    """The folder is this training's from now on, and nobody has gone on with it meanwhile."""
    name = out / "training"
    lock = locks.acquire(name)
    if lock is None:
        raise TrainingError(
            f"{out}: {locks.lock_holder(name)} is training into this folder at this moment; wait for "
            "its end, or name another --out"
        )
    if checkpoints.newest(out / checkpoints.FOLDER) != newest:
        lock.release()
        raise TrainingError(f"{out}: another process has trained into it until now; start again")
    return lock


def _image_paths(data: DatasetPaths) -> list[Path]:
    """All of an annotation file."""
    annotations = read_annotations(data.annotations)
    return [data.images / image.file for image in annotations.images]


def _resized_by(kernels: ResizeKernels) -> dict[str, str]:
    """Fingerprints of all that a training resizes: bytes, and floats behind the distortion."""
    return {
        f"{interp} {dtype}": found
        for dtype in ("uint8", "float32", "float64")
        for interp, found in fingerprint(kernels, dtype).items()
    } | {"kernels": f"{name_of(kernels)}, {cpu()}"}


def _kernel_note(before: Any, now: Mapping[str, str]) -> list[str]:
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
    options: TrainOptions,
    data: DatasetPaths,
    val_data: DatasetPaths | None,
    init: InitWeights,
    ranks: ProcessGroup,
) -> dict[str, Any]:
    """All that the numbers of a training depend on."""
    return {
        "picodet": __version__,
        "recipe": asdict(options.recipe),
        RESIZED_BY: _resized_by(options.recipe.model.preprocessing.resize),
        "batch_size": options.batch_size,
        "accumulation_steps": options.accumulation_steps,
        "processes": ranks.size,
        "seed": options.seed,
        "device": options.device.split(":")[0],
        "amp": options.amp,
        "evaluate_every": options.evaluate_every,
        "annotations": sha256(data.annotations),
        "val_annotations": val_data and sha256(val_data.annotations),
        "pretrained": str(init.weights),
        "head": init.head,
    }
