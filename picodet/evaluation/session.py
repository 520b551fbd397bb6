"""A model and a dataset -> detections of all pictures, shared among threads and processes."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from picodet import __version__
from picodet.errors import EvaluationError, ImageError, PicoDetError
from picodet.evaluation.annotations import Annotations, read_annotations
from picodet.evaluation.checking import check_pictures
from picodet.evaluation.class_matching import By, match_classes
from picodet.evaluation.progress_file import SUFFIX, part_of, read_progress, write_progress
from picodet.evaluation.results import Results, from_rows
from picodet.evaluation.run import ROW, Work, groups, run
from picodet.evaluation.setting import Feeding, Setting, mistakes
from picodet.files import sha256
from picodet.inference.network import Network
from picodet.inference.opening import Running, open_network
from picodet.inference.program_file import is_part_of_program
from picodet.machine import cores
from picodet.postprocess import Postprocessing
from picodet.ranks import Ranks, local_processes, share

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
    runtime: str  # the package that computed
    seconds: float


def detect_dataset(asked: Asked, ranks: Ranks, checking: Progress, detecting: Progress) -> Found:
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
        annotations, left_out = _usable(asked, annotations, ranks, checking)
        settings = _settings(asked, network)
        work = Work(network, asked.pictures, settings, category_ids)
        rows = _detect(asked, work, annotations, ranks, detecting)
    return Found(
        annotations=annotations,
        settings=settings,
        results=tuple(from_rows(array) for array in rows),
        notes=(*left_out, *network.spec.notes, *notes),
        runtime=network.runtime,
        seconds=time.perf_counter() - start,
    )


def threads_here() -> int:
    """One for each core that this process may use, shared with its neighbours under torchrun."""
    return max(1, cores() // local_processes())


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
    right = [Setting(Feeding(interp), after) for interp in interps]
    return mistakes(right[0], inside) if asked.what_if else tuple(right)


def _usable(
    asked: Asked, annotations: Annotations, ranks: Ranks, progress: Progress
) -> tuple[Annotations, tuple[str, ...]]:
    """What is left when bad pictures are left out, and what there is to say."""
    mine = share(ranks, annotations.pictures)
    count = 0

    def done() -> None:
        nonlocal count
        count += 1
        progress(min(count * ranks.size, len(annotations.pictures)), len(annotations.pictures))
        ranks.check()

    troubles = check_pictures(asked.pictures, mine, asked.threads, done)
    errors = [trouble.error for trouble in troubles if trouble.error]
    if errors and not asked.skip_bad:
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise ImageError(
            f"{errors[0]}{more}; --skip-bad leaves such pictures out of the evaluation"
        )
    told = [(trouble.picture_id, trouble.error is not None) for trouble in troubles]
    everybodys = np.concatenate(ranks.gather(np.array(told, np.float64).reshape(-1, 2)))
    unusable = set(everybodys[everybodys[:, 1] == 1, 0].astype(int).tolist())
    if len(unusable) == len(annotations.pictures):
        raise ImageError(f"{asked.pictures}: none of the {len(unusable)} pictures can be used")
    resized = set(everybodys[everybodys[:, 1] == 0, 0].astype(int).tolist())
    notes = _notes(len(unusable), [p.file for p in annotations.pictures if p.id in resized])
    if unusable:
        kept = [picture.id for picture in annotations.pictures if picture.id not in unusable]
        annotations = annotations.of_pictures(kept)
    return annotations, notes


def _notes(left_out: int, resized: Sequence[str]) -> tuple[str, ...]:
    """What a reader of the numbers has to know of the pictures."""
    notes = []
    if left_out:
        notes.append(
            f"{left_out} unusable picture{'s' * (left_out > 1)} left out: this AP is not COCO's"
        )
    if resized:
        notes.append(
            f"{len(resized)} of the pictures have another size than annotated, {resized[0]} first"
        )
    return tuple(notes)


def _detect(
    asked: Asked, work: Work, annotations: Annotations, ranks: Ranks, progress: Progress
) -> list[np.ndarray]:
    """Rows [N, 7] for each setting, everybody's, in the order of the pictures."""
    depends_on = _depends_on(asked, work)
    done: list[int] = []
    rows: list[list[np.ndarray]] = [[] for _ in work.settings]
    if asked.resume:
        done, before = read_progress(asked.resume, depends_on)
        rows = [[array] for array in before]
    finished = set(done)
    todo = [
        group
        for group in groups(annotations.pictures, asked.batch)
        if not all(picture.id in finished for picture in group)
    ]
    total = len(annotations.pictures)
    try:
        with _interruptible():
            for group, found in run(work, share(ranks, todo), asked.threads):
                done += [picture.id for picture in group]
                for kept, array in zip(rows, found, strict=True):
                    kept.append(array)
                here = len(done) - len(finished)
                progress(min(len(finished) + here * ranks.size, total), total)
                ranks.check()
        return _everybodys(ranks, annotations, done, [_joined(kept) for kept in rows])
    except (KeyboardInterrupt, PicoDetError) as error:
        if len(done) == len(finished):
            raise
        path = part_of(asked.progress_file, ranks.rank)
        write_progress(path, depends_on, done, [_joined(kept) for kept in rows])
        text = f"{len(done)} of {total} pictures are in {path}: --resume {asked.progress_file}"
        if isinstance(error, KeyboardInterrupt):
            raise InterruptedRunError(f"interrupted; {text} goes on") from error
        raise EvaluationError(f"{error}. {text} goes on when that is mended") from error


def _joined(rows: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty((0, ROW)), *rows])


def _everybodys(
    ranks: Ranks, annotations: Annotations, done: list[int], rows: list[np.ndarray]
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
        "pictures": str(asked.pictures.resolve()),
        "batch": str(asked.batch),
        "settings": str([(setting.feeding, setting.postprocessing) for setting in work.settings]),
        "classes": str(work.category_ids),
    }


def _digest(model: Path) -> str:
    model = model.parent if is_part_of_program(model) else model
    files = sorted(model.iterdir()) if model.is_dir() else [model]
    return ", ".join(f"{file.name} {sha256(file)}" for file in files if file.is_file())


@contextmanager
def _interruptible() -> Iterator[None]:
    """The end that torchrun and `kill` ask for is like Ctrl-C's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
