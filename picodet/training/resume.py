"""What a resumed training shares with the one before: its settings, and its place in the epoch.

The model, its classes, the data and all numbers of the recipe but those of the schedule must be the
same. What may change is taken, and a note reports it. A checkpoint holds all weights: the file of
initial weights is not needed any more.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from picodet.errors import TrainingError
from picodet.training.checkpoint import FILES, FOLDER, Progress

VERSION, RESIZED_BY, PATHS = "picodet", "resized by", "paths"  # settings
IMAGES, TRAIN, VAL = "images", "train", "val"  # a setting, and its keys
VAL_ANNOTATIONS, STEPS = "val_annotations", "steps_per_epoch"
INITIAL = ("pretrained", "head", "recipe.backbone_weights")  # of the start only
STEP_SIZE = ("processes", "batch_size", "accumulation_steps")  # images per step, and their order
HARDWARE = ("device", "amp")
FREE = (*STEP_SIZE, *HARDWARE, "workers", "evaluate_every", "patience", STEPS)
FREE_PARTS = ("recipe.schedule.", "recipe.batches.", f"{PATHS}.")
UNSAID = ("recipe.batches.", STEPS)  # follow from others
SHOWN = 5  # differences in an error


def compare_settings(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Notes on the settings that have changed since a checkpoint.

    before: of the checkpoint; now: of this run. Raises TrainingError where one differs that must be
    the same.
    """
    was = dict(_flat(before))
    found = dict(_flat(json.loads(json.dumps(now))))  # tuples are lists in a file
    differing = [
        name
        for name in {**was, **found}
        if was.get(name) != found.get(name) and not name.startswith((RESIZED_BY, f"{IMAGES}."))
    ]
    differing = [name for name in differing if name not in INITIAL]
    both = {name: (was.get(name), found.get(name)) for name in differing}
    refused = [name for name, values in both.items() if not _may_change(name, *values)]
    if refused:
        more = f" and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        raise TrainingError(
            f"{path}: other settings than the training began with: "
            f"{'; '.join(_change(name, *both[name]) for name in refused[:SHOWN])}{more}. Resume "
            "with the same model, classes, data and recipe, or start a new training in another "
            "--out"
        )
    # what an older version did not keep is not known to have changed
    said = [
        _change(name, *values)
        for name, values in both.items()
        if (name in was or (name.startswith(f"{PATHS}.val_") and PATHS in before))
        and not name.startswith((*UNSAID, VAL_ANNOTATIONS))
    ]
    notes = [f"changed since {path}: {'; '.join(said)}"] if said else []
    notes += _kernel_note(before.get(RESIZED_BY), now[RESIZED_BY])
    inexact = [name for name in (*STEP_SIZE, *HARDWARE, VERSION) if name in both]
    if inexact:
        batches = ", and batches are made up otherwise" if {*inexact} & {*STEP_SIZE} else ""
        notes.append(
            f"the result will not be bit for bit that of a training without a break: "
            f"{_list(inexact)} changed{batches}"
        )
    return notes


def kept_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the next checkpoints.

    How the training began is kept, and, while nothing is evaluated, what was evaluated on.
    """
    kept = [name for name in INITIAL if name in before]
    if now[VAL_ANNOTATIONS] is None and VAL_ANNOTATIONS in before:
        kept.append(VAL_ANNOTATIONS)
    return dict(now) | {name: before[name] for name in kept}


def progress_of(progress: Progress, before: Mapping[str, Any], now: Mapping[str, Any]) -> Progress:
    """The progress in a training with another number of steps per epoch: the same share of it."""
    steps = before.get(STEPS, now[STEPS])
    if type(steps) is not int or not steps > 0 or progress.step > steps:
        raise TrainingError(
            f"the checkpoint states {steps!r:.100} steps per epoch, and is after step "
            f"{progress.step} of one. Delete it, and --resume uses the one before"
        )
    return replace(progress, step=progress.step * now[STEPS] // steps)


def nothing_to_resume(out: Path) -> TrainingError:
    """The error of `--resume` where there is no checkpoint; names trainings nearby."""
    try:
        others = sorted(
            {found.parent.parent.name for found in out.parent.glob(f"*/{FOLDER}/{FILES}")}
        )
    except OSError:
        others = []
    near = f" Beside it there are trainings in {_list(others[:SHOWN])}." if others else ""
    return TrainingError(
        f"{out}: nothing to resume: found no checkpoint in {out / FOLDER}; expected one of a "
        f"training that began there.{near} Correct --out, or leave out --resume to begin"
    )


def _may_change(name: str, was: Any, found: Any) -> bool:
    if name == VERSION:  # its patch version
        return str(was).split(".")[:2] == str(found).split(".")[:2]
    if name == VAL_ANNOTATIONS:  # evaluation begins or ends
        return was is None or found is None
    return name in FREE or name.startswith(FREE_PARTS)


def _change(name: str, was: Any, found: Any) -> str:
    return f"{name} was {was!r:.100}, is {found!r:.100}"


def _list(names: list[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names, such as "recipe.schedule.epochs", and values."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _kernel_note(before: Any, now: Mapping[str, str]) -> list[str]:
    """A note if a training is resumed on a machine whose kernels resize differently."""
    if not isinstance(before, dict) or all(
        before.get(name) == found for name, found in now.items() if name != "kernels"
    ):
        return []
    return [
        f"resized by other kernels than before (were {before.get('kernels')}; are "
        f"{now['kernels']}): the result will not be bit for bit that of one machine. Train with "
        "--resize portable to move between machines"
    ]
