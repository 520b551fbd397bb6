"""Compares a recorded training with picodet's training of a model, stage by stage."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from picodet.alignment.recording.index import content_key
from picodet.alignment.result import Comparison, Finding, Layer, Stage, Status
from picodet.alignment.tolerance import FLOAT64_TOLERANCE, NOISE_MULTIPLE
from picodet.alignment.training.checks import GRADIENTS, LOSS_TOLERANCE, compare_stages
from picodet.alignment.training.differences import NamedDifference
from picodet.alignment.training.recording import TrainingRecording
from picodet.alignment.training.steps import TrainingSetup
from picodet.converter.names.name_tables import name_table
from picodet.converter.names.rules import NameTable
from picodet.converter.names.unmatched_tensors import TORCH_ONLY_SUFFIX
from picodet.errors import AlignmentError
from picodet.files import sha256
from picodet.system.versions import versions
from picodet.training.nan_report import NotFiniteError

MAY_FOLLOW = "; an earlier stage differs, which may be the cause"


def align_training(
    recording: TrainingRecording,
    ours: TrainingSetup,
    model_path: Path,
    tolerance: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    notes: tuple[str, ...] = (),
) -> Comparison:
    """Train a copy of the model as recorded and compare all stages.

    tolerance: allowed error as a part of each scale, instead of the measured noise; progress(done,
    total) counts runs; notes: assumptions about the model's file.

    Raises AlignmentError where the model has too few classes or picodet's training stops.
    """
    config = ours.model.config
    table = name_table(config.backbone, config.neck, config.head)
    weights = _weights(recording.weights, ours.model.state_dict(), table)
    stages = [replace(weights, summary="; ".join((weights.summary, *notes)))]
    max_class = max(int(run.boxes.classes.max(initial=0)) for run in recording.runs)
    if max_class >= len(config.classes):
        raise AlignmentError(
            f"{recording.file}: recorded with classes up to {max_class}; the model has "
            f"{len(config.classes)}"
        )
    layers: tuple[Layer, ...] = ()
    try:
        for stage, tensors in compare_stages(recording, ours, tolerance, progress):
            if stage.name == GRADIENTS:
                layers = tuple(_layer(named) for named in tensors)
            follows = stage.verdict == "differs" and any(r.verdict == "differs" for r in stages)
            text = stage.summary + (MAY_FOLLOW if follows else "")
            stages.append(Stage(stage.name, stage.verdict, text, stage.findings))
    except NotFiniteError as error:
        raise AlignmentError(f"{recording.file}: picodet's training stopped: {error}") from error
    return Comparison(
        reference=f"{recording.file} (ppdet's training, {recording.precision})",
        model=str(model_path),
        stages=tuple(stages),
        layers=layers,
        unpaired=(),
        tolerance=_tolerance_sentence(recording.precision, tolerance),
        environment=_environment(recording, model_path),
    )


def _layer(named: NamedDifference) -> Layer:
    """A parameter's gradient, shown like a layer; its layer need not be the guilty one."""
    run, _, name = named.name.rpartition(": ")
    status: Status = "aligned" if named.difference.ok else "affected"
    return Layer(name, run, 0, "gradient", named.difference, None, status)


def _weights(recorded: Mapping[str, str], state: Mapping[str, Tensor], table: NameTable) -> Stage:
    """The initial weights of both trainings, compared bit for bit."""
    ours = {
        name: content_key(value.numpy())
        for name, value in state.items()
        if not name.endswith(TORCH_ONLY_SUFFIX)
    }
    translated = {table.to_ours(theirs): key for theirs, key in recorded.items()}
    theirs = {found.name: key for found, key in translated.items() if found is not None}
    missing = [Finding(name, "no such tensor", "as recorded") for name in theirs.keys() - ours]
    missing += [Finding(name, "as in the model", "no such tensor") for name in ours.keys() - theirs]
    differing = [name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]]
    findings = missing + [
        Finding(name, "other values", "as recorded") for name in sorted(differing)
    ]
    same = len(ours.keys() & theirs.keys()) - len(differing)
    text = f"{same} of {len(theirs)} tensors equal bit for bit"
    return Stage("weights", "differs" if findings else "aligned", text, tuple(findings))


def _tolerance_sentence(precision: str, tolerance: float | None) -> str:
    if tolerance is not None:
        return (
            f"--tolerance {tolerance:g}: every error may be {tolerance:g} of its scale, whatever "
            "the noise"
        )
    noise = (
        "The noise of each value was measured with picodet's training: the greatest difference to "
        "the same steps {}with images and weights that differ in their last bits. An error may "
        f"be {NOISE_MULTIPLE:g} times that"
    )
    if precision == "float64":
        return (
            f"Both sides computed in float64: every error may be {FLOAT64_TOLERANCE:g} of its "
            "scale. " + noise.format("") + ", if that is more: training steps amplify noise"
        )
    return noise.format("in float64, with two threads, and ") + (
        f"; that of a loss at least {LOSS_TOLERANCE[precision]:g} of the loss"
    )


def _environment(recording: TrainingRecording, model_path: Path) -> dict[str, str]:
    theirs = {f"reference: {name}": value for name, value in recording.versions.items()}
    ours = {f"model: {name}": value for name, value in versions("torch").items()}
    images = recording.images
    return {
        "reference": recording.file,
        "reference SHA-256": recording.sha256,
        "model": model_path.name,
        "model SHA-256": sha256(model_path),
        "input": f"{list(images.shape)}, SHA-256 {content_key(images)}..",
        "runs": "; ".join(f"{run.name}: {len(run.losses)} steps" for run in recording.runs),
        "threads": str(torch.get_num_threads()),
        **theirs,
        **ours,
    }
