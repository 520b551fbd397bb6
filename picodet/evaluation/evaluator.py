"""A model and a dataset -> detections of all pictures, shared among threads and processes."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from picodet.config import ResizeKernels
from picodet.data.coco import Annotations, read_annotations
from picodet.distributed import ProcessGroup, local_processes, shard
from picodet.errors import EvaluationError, PicoDetError
from picodet.evaluation.class_matching import By, match_classes
from picodet.evaluation.dataset_checks import Usable, usable
from picodet.evaluation.detections import Results, from_rows
from picodet.evaluation.inference_loop import Work, groups, run
from picodet.evaluation.partial import Partial, joined
from picodet.evaluation.resume import SUFFIX, read_progress
from picodet.evaluation.settings import Feeding, Setting, mistakes
from picodet.files import sha256
from picodet.formats.inference_folder import is_part_of_program
from picodet.inference.backend import Network
from picodet.inference.open_backend import Running, open_network
from picodet.ops.postprocess import Postprocessing
from picodet.system.intervals import Clock
from picodet.system.machine import available_cores
from picodet.version import __version__

Progress = Callable[[int, int], None]  # done, of


class InterruptedRunError(EvaluationError):
    """Somebody wanted it to end; what was done is kept."""


@dataclass(frozen=True)
class Asked:
    """What a user wants to be evaluated, and how."""

    model: Path
    pictures: Path  # their folder
    annotations: Path
    running: Running
    interps: tuple[int, ...] = ()  # none: the model's own
    kernels: ResizeKernels | None = None  # that resize; None: the model's own
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    what_if: bool = False
    match_classes: By = "name"
    skip_bad: bool = False
    batch: int = 1  # pictures that go through the network together
    threads: int = 1  # of this process
    progress_file: Path = Path("picodet-eval.partial.npz")  # where an interrupted run leaves off
    resume: Path | None = None


@dataclass(frozen=True)
class Found:
    """All detections, under each setting; the same in every process."""

    annotations: Annotations  # of the pictures that count
    settings: tuple[Setting, ...]
    results: tuple[Results, ...]
    notes: tuple[str, ...]  # what a reader of the numbers has to know
    caveat: str  # what the AP is not to be told without; "" for nothing
    runtime: str  # the package that computed
    seconds: float  # of all settings together
    partial: Path | None  # what is no longer needed when all this is told


def detect_dataset(
    asked: Asked,
    ranks: ProcessGroup,
    checking: Progress,
    detecting: Progress,
    clock: Clock = time.monotonic,
) -> Found:
    """Run the model over all pictures.

    Raises EvaluationError where model and dataset do not fit, ImageError for pictures that cannot
    be used, and InterruptedRunError where it was interrupted: the progress is then in a file.
    """
    start = time.perf_counter()
    annotations = read_annotations(asked.annotations)
    with closing(open_network(asked.model, asked.running)) as network:
        category_ids, notes = match_classes(
            network.spec, annotations.categories, asked.match_classes
        )
        found = usable(annotations, asked.pictures, asked.skip_bad, asked.threads, ranks, checking)
        settings = _settings(asked, network)
        work = Work(network, asked.pictures, settings, category_ids)
        depends_on = _depends_on(asked, work)
        resumed = asked.resume is not None
        kept = Partial(asked.progress_file, resumed, depends_on, found.sums, ranks, clock)
        with kept as partial:
            rows = _detect(asked, work, found, ranks, detecting, partial)
    return Found(
        annotations=found.annotations,
        settings=settings,
        results=tuple(from_rows(array) for array in rows),
        notes=(*(*found.notes, *annotations.notes, *network.spec.notes, *notes, *partial.notes),),
        caveat=found.caveat,
        runtime=network.runtime,
        seconds=time.perf_counter() - start,
        partial=partial.whole if partial.written and not asked.resume else None,
    )


def threads_here() -> int:
    """One for each core that this process may use, shared with its neighbours under torchrun."""
    return max(1, available_cores() // local_processes())


def progress_file(out: Path | None) -> Path:
    """Where an interrupted run leaves what it has."""
    return out.with_name(out.stem + SUFFIX) if out else Path("picodet-eval" + SUFFIX)


def _settings(asked: Asked, network: Network) -> tuple[Setting, ...]:
    spec = network.spec
    inside = spec.form == "detections"
    usual, after = Postprocessing(), asked.postprocessing
    if inside and replace(after, score_threshold=usual.score_threshold) != usual:
        raise EvaluationError(
            f"{asked.model} does its own NMS, which cannot be changed from outside; a file without "
            "it (heads, boxes) can be asked for another IoU or another post-processing"
        )
    interps = asked.interps or (spec.preprocessing.interp,)
    kernels = asked.kernels or spec.preprocessing.resize
    right = [Setting(Feeding(interp, kernels=kernels), after) for interp in interps]
    return mistakes(right[0], inside) if asked.what_if else tuple(right)


def _detect(
    asked: Asked,
    work: Work,
    found: Usable,
    ranks: ProcessGroup,
    progress: Progress,
    partial: Partial,
) -> list[np.ndarray]:
    """Rows [N, 7] for each setting, everybody's, in the order of the pictures."""
    annotations = found.annotations
    done: list[int] = []
    rows: list[list[np.ndarray]] = [[] for _ in work.settings]
    if asked.resume:
        images = {p.id: (p.file, found.sums[p.id]) for p in annotations.pictures}
        done, before = read_progress(asked.resume, partial.depends_on, images)
        rows = [[array] for array in before]
    finished = set(done)
    todo = [
        group
        for group in groups(annotations.pictures, asked.batch)
        if not all(picture.id in finished for picture in group)
    ]
    total = len(annotations.pictures)
    try:
        for group, arrays in run(work, shard(ranks, todo), asked.threads):
            for kept, array in zip(rows, arrays, strict=True):
                kept.append(array)
            done += [picture.id for picture in group]  # last: an interrupt may come in between
            partial.keep(done, rows)
            here = len(done) - len(finished)
            progress(min(len(finished) + here * ranks.size, total), total)
            ranks.check()
        return _everybodys(ranks, annotations, done, [joined(kept) for kept in rows])
    except (KeyboardInterrupt, PicoDetError) as error:
        if len(done) == len(finished):
            raise
        partial.write(done, rows)
        text = f"{len(done)} of {total} pictures are in {partial.path}: --resume {partial.whole}"
        if isinstance(error, KeyboardInterrupt):
            raise InterruptedRunError(f"interrupted; {text} goes on") from error
        raise EvaluationError(f"{error}. {text} goes on when that is mended") from error


def _everybodys(
    ranks: ProcessGroup, annotations: Annotations, done: list[int], rows: list[np.ndarray]
) -> list[np.ndarray]:
    """Of each picture the rows of the first that has it: what was resumed is in all hands."""
    ids = np.array([picture.id for picture in annotations.pictures])
    parts = ranks.gather(np.array(done, np.float64)[:, None])
    owners: dict[int, int] = {}
    for rank, part in enumerate(parts):
        for picture in part[:, 0].astype(int).tolist():
            owners.setdefault(picture, rank)
    if lost := set(ids.tolist()) - set(owners):
        raise EvaluationError(f"{len(lost)} pictures were given to no process; a bug of picodet's")
    owner = np.array([owners[picture] for picture in ids.tolist()])
    gathered = []
    for array in rows:
        everybodys = ranks.gather(array)
        own = [p[np.isin(p[:, 0], ids[owner == rank])] for rank, p in enumerate(everybodys)]
        joined = np.concatenate(own)
        gathered.append(joined[np.argsort(joined[:, 0], kind="stable")])
    return gathered


def _depends_on(asked: Asked, work: Work) -> dict[str, str]:
    """All that a row depends on: a part made under anything else is not gone on with."""
    running = asked.running
    spec = work.network.spec
    return {
        "picodet": __version__,
        "model": _digest(asked.model),
        "run by": f"{work.network.runtime} {running.device.split(':')[0]} {running.precision}",
        "input size": str(spec.input_size),
        "annotations": sha256(asked.annotations),
        "batch": str(asked.batch),
        "settings": str([(setting.feeding, setting.postprocessing) for setting in work.settings]),
        "resized by": "; ".join(dict.fromkeys(s.feeding.resized_by for s in work.settings)),
        "classes": str(work.category_ids),
    }


def _digest(model: Path) -> str:
    model = model.parent if is_part_of_program(model) else model
    files = sorted(model.iterdir()) if model.is_dir() else [model]
    return ", ".join(f"{file.name} {sha256(file)}" for file in files if file.is_file())
