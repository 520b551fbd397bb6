"""A model and a dataset -> detections of all images, shared among threads and processes."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from picodet.config import ResizeKernels
from picodet.data.coco import (
    Annotations,
    AnnotationSource,
    annotations_digest,
    read_annotations,
)
from picodet.data.preprocess import check_supported
from picodet.distributed import ProcessGroup, local_processes, shard
from picodet.errors import EvaluationError, PicoDetError
from picodet.evaluation.class_matching import MatchBy, match_classes, select_matched
from picodet.evaluation.dataset_checks import UsableDataset, check_dataset
from picodet.evaluation.detections import Predictions, predictions_from_rows
from picodet.evaluation.inference_loop import BatchDetector, detect_batches, make_batches
from picodet.evaluation.partial import PartialResults, concatenate_rows
from picodet.evaluation.resume import SUFFIX, read_progress
from picodet.evaluation.settings import EvalSettings, InputSettings, what_if_settings
from picodet.files import sha256
from picodet.formats.inference_folder import is_part_of_program
from picodet.inference.backend import Backend
from picodet.inference.layout_options import LayoutOptions
from picodet.inference.open_backend import RuntimeOptions, open_backend
from picodet.ops.postprocess import Postprocessing, PostprocessingOptions
from picodet.system.intervals import Clock
from picodet.system.machine import available_cores
from picodet.version import __version__

ProgressCallback = Callable[[int, int], None]  # done, of


class InterruptedRunError(EvaluationError):
    """The run was interrupted; its progress is in a file, which --resume continues."""


@dataclass(frozen=True)
class EvalRequest:
    """The model and dataset of an evaluation, and its settings."""

    model: Path
    images: Path  # their folder
    annotations: AnnotationSource
    runtime_options: RuntimeOptions
    interps: tuple[int, ...] = ()  # none: the model's own
    kernels: ResizeKernels | None = None  # that resize images; None: the model's own
    postprocessing: PostprocessingOptions = field(default_factory=PostprocessingOptions)
    layout: LayoutOptions | None = None  # PaddleX's post-processing of layouts after it
    what_if: bool = False
    match_classes: MatchBy = "name"
    skip_corrupt: bool = False
    batch: int = 1  # images that go through the network together
    threads: int = 1  # of this process
    progress_path: Path = Path("picodet-eval.partial.npz")  # of an interrupted run
    resume: Path | None = None


@dataclass(frozen=True)
class EvalOutput:
    """All detections under each setting; the same in every process."""

    annotations: Annotations  # of the images that count
    settings: tuple[EvalSettings, ...]
    predictions: tuple[Predictions, ...]
    notes: tuple[str, ...]  # what a reader of the numbers has to know
    caveat: str  # shown beside the AP wherever it is shown; "" for none
    runtime: str  # the package that ran the model
    seconds: float  # of all settings together
    partial: Path | None  # file of the progress, to be removed once the report is written


def detect_dataset(
    request: EvalRequest,
    ranks: ProcessGroup,
    check_progress: ProgressCallback,
    detect_progress: ProgressCallback,
    clock: Clock = time.monotonic,
) -> EvalOutput:
    """Run the model on all images.

    Writes its progress to request.progress_path. Raises EvaluationError if model and dataset do not
    match, ImageError for unusable images, and InterruptedRunError if interrupted.
    """
    start = time.perf_counter()
    annotations = read_annotations(request.annotations)
    with closing(open_backend(request.model, request.runtime_options)) as network:
        check_supported(network.spec.preprocessing)
        match = match_classes(network.spec, annotations.categories, request.match_classes)
        annotations, left_out = select_matched(annotations, match)
        settings = _settings(request, network)
        dataset = check_dataset(
            annotations,
            request.images,
            request.skip_corrupt,
            request.threads,
            ranks,
            check_progress,
        )
        work = BatchDetector(network, request.images, settings, match.category_ids)
        run_settings = _run_settings(request, work)
        resumed = request.resume is not None
        setting_rows = PartialResults(
            request.progress_path, resumed, run_settings, dataset.checksums, ranks, clock
        )
        with setting_rows as partial:
            rows = _detect(request, work, dataset, ranks, detect_progress, partial)
    return EvalOutput(
        annotations=dataset.annotations,
        settings=settings,
        predictions=tuple(predictions_from_rows(array) for array in rows),
        notes=(
            *dataset.notes,
            *annotations.notes,
            *network.spec.notes,
            *match.notes,
            *partial.notes,
        ),
        caveat="; ".join(filter(None, (dataset.caveat, left_out))),
        runtime=network.runtime,
        seconds=time.perf_counter() - start,
        partial=partial.base_path if partial.written and not request.resume else None,
    )


def default_threads() -> int:
    """One thread per usable core, divided among the processes that torchrun starts here."""
    return max(1, available_cores() // local_processes())


def progress_path(out: Path | None) -> Path:
    """The file in which an interrupted run saves its progress."""
    return out.with_name(out.stem + SUFFIX) if out else Path("picodet-eval" + SUFFIX)


def _settings(request: EvalRequest, network: Backend) -> tuple[EvalSettings, ...]:
    spec = network.spec
    has_nms = spec.output_format == "detections"
    asked = request.postprocessing
    if has_nms and replace(asked, score_threshold=None) != PostprocessingOptions():
        raise EvaluationError(
            f"{request.model} does its own NMS, which cannot be changed from outside; use a "
            "file without it (heads, boxes) for another IoU or another post-processing"
        )
    if request.layout is not None and asked.score_threshold is None:
        asked = replace(asked, score_threshold=Postprocessing.score_threshold)
    after = asked.resolve(spec.nms)
    if request.layout is not None:
        after = replace(after, layout=request.layout.for_model(spec))
    interps = request.interps or (spec.preprocessing.interp,)
    kernels = request.kernels or spec.preprocessing.resize
    settings = [EvalSettings(InputSettings(interp, kernels=kernels), after) for interp in interps]
    return what_if_settings(settings[0], has_nms) if request.what_if else tuple(settings)


def _detect(
    request: EvalRequest,
    work: BatchDetector,
    dataset: UsableDataset,
    ranks: ProcessGroup,
    progress: ProgressCallback,
    partial: PartialResults,
) -> list[np.ndarray]:
    """Rows [N, 7] of all processes for each setting, in the order of the images."""
    annotations = dataset.annotations
    done: list[int] = []
    rows: list[list[np.ndarray]] = [[] for _ in work.settings]
    if request.resume:
        images = {p.id: (p.file, dataset.checksums[p.id]) for p in annotations.images}
        done, before = read_progress(request.resume, partial.run_settings, images)
        rows = [[array] for array in before]
    resumed_ids = set(done)
    batches = [
        batch
        for batch in make_batches(annotations.images, request.batch)
        if not all(image.id in resumed_ids for image in batch)
    ]
    total = len(annotations.images)
    try:
        for batch, arrays in detect_batches(work, shard(ranks, batches), request.threads):
            for setting_rows, array in zip(rows, arrays, strict=True):
                setting_rows.append(array)
            done += [image.id for image in batch]  # last: an interrupt may come in between
            partial.write_if_due(done, rows)
            here = len(done) - len(resumed_ids)
            progress(min(len(resumed_ids) + here * ranks.size, total), total)
            ranks.check()
        return _gather_rows(
            ranks, annotations, done, [concatenate_rows(setting_rows) for setting_rows in rows]
        )
    except (KeyboardInterrupt, PicoDetError) as error:
        if len(done) == len(resumed_ids):
            raise
        partial.write(done, rows)
        text = f"{len(done)} of {total} images are in {partial.path}: --resume {partial.base_path}"
        if isinstance(error, KeyboardInterrupt):
            raise InterruptedRunError(f"interrupted; {text} continues") from error
        raise EvaluationError(f"{error}. {text} continues once that is fixed") from error


def _gather_rows(
    ranks: ProcessGroup, annotations: Annotations, done: list[int], rows: list[np.ndarray]
) -> list[np.ndarray]:
    """Each image's rows, from the first process that has it: all have the resumed rows."""
    ids = np.array([image_id.id for image_id in annotations.images])
    parts = ranks.gather(np.array(done, np.float64)[:, None])
    owners: dict[int, int] = {}
    for rank, part in enumerate(parts):
        for image_id in part[:, 0].astype(int).tolist():
            owners.setdefault(image_id, rank)
    if missing := set(ids.tolist()) - set(owners):
        raise EvaluationError(
            f"{len(missing)} images were processed by no process; this is a bug of picodet"
        )
    owner = np.array([owners[image_id] for image_id in ids.tolist()])
    gathered = []
    for array in rows:
        all_rows = ranks.gather(array)
        kept_rows = [p[np.isin(p[:, 0], ids[owner == rank])] for rank, p in enumerate(all_rows)]
        setting_rows = np.concatenate(kept_rows)
        gathered.append(setting_rows[np.argsort(setting_rows[:, 0], kind="stable")])
    return gathered


def _run_settings(request: EvalRequest, work: BatchDetector) -> dict[str, str]:
    """All that a row depends on: progress made under anything else is not resumed."""
    runtime_options = request.runtime_options
    spec, device = work.network.spec, runtime_options.device.split(":")[0]
    return {
        "picodet": __version__,
        "model": _digest(request.model),
        "run by": f"{work.network.runtime} {device} {runtime_options.precision}",
        "input size": str(spec.input_size),
        "annotations": annotations_digest(request.annotations),
        "batch": str(request.batch),
        "settings": str(
            [(setting.input_settings, setting.postprocessing) for setting in work.settings]
        ),
        "resized by": "; ".join(dict.fromkeys(s.input_settings.resized_by for s in work.settings)),
        "classes": str(work.category_ids),
    }


def _digest(model: Path) -> str:
    model = model.parent if is_part_of_program(model) else model
    files = sorted(model.iterdir()) if model.is_dir() else [model]
    return ", ".join(f"{file.name} {sha256(file)}" for file in files if file.is_file())
