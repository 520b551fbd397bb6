"""Put a training together: options, recipe, dataset and initial weights -> Trainer."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from picodet.config import ModelConfig, ResizeKernels
from picodet.data.coco import (
    AnnotationSource,
    annotations_digest,
    annotations_path,
    read_annotations,
)
from picodet.data.resize_kernels import describe_kernels, fingerprint
from picodet.distributed import ProcessGroup
from picodet.errors import TrainingError
from picodet.files import check_folder
from picodet.inference.torch_backend import move_to_device
from picodet.system import locks
from picodet.system.locks import Lock
from picodet.system.versions import cpu
from picodet.training import checkpoint as checkpoints
from picodet.training import resume as resuming
from picodet.training.data import image_record
from picodet.training.data.dataloader import Loader
from picodet.training.data.dataset import read_dataset
from picodet.training.freezing import freeze
from picodet.training.options import TrainOptions
from picodet.training.pretrained import HeadInit, init_model
from picodet.training.recipes.batch_scaling import scaled_to_batch, scaling_note
from picodet.training.recipes.display import never_aligned
from picodet.training.recipes.schema import Recipe
from picodet.training.resume import (
    IMAGES,
    PATHS,
    RESIZED_BY,
    STEPS,
    TRAIN,
    VAL,
    VAL_ANNOTATIONS,
    VERSION,
)
from picodet.training.sync_batchnorm import convert_sync_batchnorm
from picodet.training.trainer import Trainer, Validate
from picodet.version import __version__

ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True)
class DatasetPaths:
    """A dataset: folder of images, and annotation file in COCO's format, or what was read."""

    images: Path
    annotations: AnnotationSource


@dataclass(frozen=True)
class InitWeights:
    """The initial weights: a file (None: random, as ppdet), and what becomes of its head."""

    weights: Path | None
    head: HeadInit = "reuse"


@dataclass(frozen=True)
class PreparedTraining:
    """A training that is ready to run, from the start or a checkpoint, and notes on it."""

    trainer: Trainer
    notes: tuple[str, ...]
    lock: Lock | None  # on the output folder, held by process 0; release it at the end


def with_classes(recipe: Recipe, classes: tuple[str, ...] | None) -> Recipe:
    """The recipe for other classes; None leaves its own."""
    if classes is None or classes == recipe.model.classes:
        return recipe
    name = f"{recipe.model.name}_{len(classes)}_classes"
    return replace(recipe, model=replace(recipe.model, name=name, classes=classes))


def with_resize(recipe: Recipe, kernels: ResizeKernels | None) -> Recipe:
    """The recipe with images resized by other kernels; None leaves its own."""
    if kernels is None:
        return recipe
    numbers = replace(recipe.model.preprocessing, resize=kernels)
    return replace(recipe, model=replace(recipe.model, preprocessing=numbers))


def with_lr(
    recipe: Recipe, batch: int, batches_per_step: int, lr: float | None
) -> tuple[Recipe, str]:
    """The recipe for `batches_per_step` x `batch` images per step, and a note on its learning rate.

    lr: base learning rate; None: the recipe's, scaled linearly.
    """
    used = scaled_to_batch(recipe, batch, batches_per_step)
    if lr is not None:
        schedule = replace(used.schedule, base_lr=lr)
        return replace(used, schedule=schedule), f"base learning rate {lr:g}, as given by --lr"
    kept = f"base learning rate {used.schedule.base_lr:g} for {used.batches.total} images per step"
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
    """Read everything, initialize or resume, and lock the output folder.

    checking_images: called with (done, total) while checksums of the images are computed. Process 0
    creates `options.out`; cuDNN's flags are set for a GPU (move_to_device). Raises
    TrainingError if the training cannot start or resume, and what reading the files raises.
    """
    recipe = options.recipe
    folder = options.out / checkpoints.FOLDER
    newest = _checkpoint_to_resume(options, resume, validation is not None)
    checkpoint = checkpoints.load(newest) if newest else None
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
        needed = options.batch_size * options.accumulation_steps * ranks.size
        raise TrainingError(
            f"{annotations_path(data.annotations)}: {len(dataset)} images to train on, fewer than "
            f"the {needed} of a step; use a smaller --batch or --accumulation-steps"
        )
    settings = _settings(options, data, val_data, init, ranks)
    settings[STEPS] = loader.steps_per_epoch // options.accumulation_steps
    changes: list[str] = []
    if newest and checkpoint:  # before the images are read, which takes long
        changes = resuming.compare_settings(newest, checkpoint.settings, settings)
        settings = resuming.kept_settings(checkpoint.settings, settings)
    weights = None if checkpoint else init.weights  # a checkpoint has all of them
    initialized = init_model(recipe.model, options.seed, weights, init.head)
    model = move_to_device(initialized.model, options.device)
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
    images = {name: image_record.digest(rows[name]) for name in rows}
    validate = validation(recipe.model) if validation else None
    notes = [
        f"{len(dataset):,} images, {settings[STEPS]:,} steps per epoch",
        *dataset.notes,
        *filter(None, [never_aligned(recipe), None if validate else _no_evaluation(options)]),
    ]
    if newest and checkpoint:
        images_before = checkpoint.settings.get(IMAGES, images)
        if val_data is None:  # nothing is evaluated now; it may be again
            images[VAL], rows[VAL] = images_before.get(VAL, images[VAL]), known[VAL]
        for name, what in ((TRAIN, "train on"), (VAL, "evaluate on")):
            if images_before.get(name) not in (
                images[name],
                image_record.digest(image_record.NO_ROWS),
            ):
                image_record.refuse_others(paths[name], known[name], rows[name], newest, what)
    trainer = Trainer(options, ranks, model, loader, settings | {IMAGES: images}, validate, show)
    lock = None
    if ranks.rank == 0:
        check_folder(options.out)
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock_folder(options.out, newest)
        image_record.write(options.out, **rows)
    if not (newest and checkpoint):
        return PreparedTraining(trainer, (*notes, *initialized.notes), lock)
    progress = resuming.progress_of(checkpoint.progress, checkpoint.settings, settings)
    trainer.resume(replace(checkpoint, progress=progress))
    notes += changes
    notes.append(f"resumed after step {progress.step} of epoch {progress.epoch + 1}, from {newest}")
    return PreparedTraining(trainer, tuple(notes), lock)


def _checkpoint_to_resume(options: TrainOptions, resume: bool, evaluated: bool) -> Path | None:
    """The newest checkpoint; None if the training is new. Raises TrainingError, see `prepare`."""
    if options.patience is not None and not evaluated:
        raise TrainingError(
            f"--patience {options.patience}: nothing is evaluated; expected images to evaluate on, "
            "and --evaluate-every 1 or more. Give them, or leave out --patience"
        )
    newest = checkpoints.newest(options.out / checkpoints.FOLDER)
    if newest is not None and not resume:
        raise TrainingError(
            f"{options.out}: already holds a training of {int(newest.stem):,} steps; continue it "
            "with --resume, or give another --out"
        )
    if newest is None and resume:
        raise resuming.nothing_to_resume(options.out)
    return newest


def _no_evaluation(options: TrainOptions) -> str:
    """A note on why nothing is evaluated."""
    reason = "--evaluate-every 0"
    if options.evaluate_every:
        reason = "there are no images to evaluate on; give --val-images and --val-annotations"
    return f"nothing is evaluated, and no best_ema.pth is written: {reason}"


def _lock_folder(out: Path, newest: Path | None) -> Lock:
    """Lock the folder. Raises TrainingError if another process trains, or has trained, into it."""
    name = out / "training"
    lock = locks.acquire(name)
    if lock is None:
        raise TrainingError(
            f"{out}: {locks.lock_holder(name)} is training into this folder now; wait until it "
            "ends, or give another --out"
        )
    if checkpoints.newest(out / checkpoints.FOLDER) != newest:
        lock.release()
        raise TrainingError(f"{out}: another process has trained into it meanwhile; start again")
    return lock


def _image_paths(data: DatasetPaths) -> list[Path]:
    """All images of an annotation file."""
    annotations = read_annotations(data.annotations)
    return [data.images / image.file for image in annotations.images]


def _resized_by(kernels: ResizeKernels) -> dict[str, str]:
    """Fingerprints of the resize kernels: of bytes, and of floats after color jitter."""
    return {
        f"{interp} {dtype}": found
        for dtype in ("uint8", "float32", "float64")
        for interp, found in fingerprint(kernels, dtype).items()
    } | {"kernels": f"{describe_kernels(kernels)}, {cpu()}"}


def _settings(
    options: TrainOptions,
    data: DatasetPaths,
    val_data: DatasetPaths | None,
    init: InitWeights,
    ranks: ProcessGroup,
) -> dict[str, Any]:
    """Everything that the numbers of a training depend on, but the number of steps."""
    paths = {"images": data.images, "annotations": annotations_path(data.annotations)}
    if val_data:
        paths["val_images"] = val_data.images
        paths[VAL_ANNOTATIONS] = annotations_path(val_data.annotations)
    return {
        VERSION: __version__,
        "recipe": asdict(options.recipe),
        RESIZED_BY: _resized_by(options.recipe.model.preprocessing.resize),
        "batch_size": options.batch_size,
        "accumulation_steps": options.accumulation_steps,
        "processes": ranks.size,
        "seed": options.seed,
        "device": options.device.split(":")[0],
        "amp": options.amp,
        "workers": options.workers,
        "evaluate_every": options.evaluate_every,
        "patience": options.patience,
        "annotations": annotations_digest(data.annotations),
        VAL_ANNOTATIONS: val_data and annotations_digest(val_data.annotations),
        PATHS: {name: str(path.resolve()) for name, path in paths.items()},
        "pretrained": str(init.weights),
        "head": init.head,
    }
