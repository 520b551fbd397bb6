"""For each guilty layer: the usual mistakes are tried, and the one that explains it is named."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from picodet.alignment import block_diagnosis
from picodet.alignment.comparison import Finding, Layer, Picture
from picodet.alignment.gap import Tolerance, gap, noise
from picodet.alignment.lanes import BROKEN, tensors
from picodet.alignment.recorded import Recorded
from picodet.alignment.replay import CallId, Doing, Suspect, suspects
from picodet.alignment.weight_diagnosis import UNKNOWN as UNKNOWN_WEIGHT
from picodet.models.picodet import PicoDet

UNKNOWN = "none of the usual mistakes makes the difference vanish"
POINTS = 400  # of a scatter
CLOSE = 1e-5  # of the scale, in float32: between the reference and a formula computed by us
CLOSE_DOUBLE = 1e-12

Find = Callable[[PicoDet, Tensor, Recorded, Iterable[CallId]], Mapping[CallId, Suspect]]


def diagnose(
    layers: Sequence[Layer],
    model: PicoDet,
    images: Tensor,
    recorded: Recorded,
    tolerance: Tolerance,
    findings: Sequence[Finding],
    find: Find = suspects,
) -> tuple[Layer, ...]:
    """The same layers; the guilty ones with a diagnosis and a picture.

    findings: of the weights, which explain a layer better than its output does. find: the guilty
    layers of what was compared, if that is not `model`.
    """
    if recorded.recording.index.samples:
        text = "a summary does not hold what the layer was fed; record in full to see why"
        return tuple(replace(x, diagnosis=text) if x.status == "guilty" else x for x in layers)
    calls = {_call(layer) for layer in layers if layer.status == "guilty"}
    found = find(model, images, recorded, calls) if calls else {}
    of_weights = {
        finding.name.rpartition(".")[0]: finding.diagnosis
        for finding in findings
        if finding.diagnosis != UNKNOWN_WEIGHT
    }
    return tuple(
        _diagnosed(layer, found[_call(layer)], tolerance, of_weights)
        if layer.status == "guilty" and _call(layer) in found
        else layer
        for layer in layers
    )


def _call(layer: Layer) -> tuple[str, int]:
    """Of a folded pair the batch norm, which is the last of the two."""
    path = layer.path.split(" + ")[-1]
    return path, layer.call


def _diagnosed(
    layer: Layer, suspect: Suspect, tolerance: Tolerance, of_weights: Mapping[str, str]
) -> Layer:
    try:
        doings = suspect.doings()
    except BROKEN as error:
        return replace(layer, diagnosis=f"it cannot be run: {type(error).__name__}: {error}")
    worst = max(doings, key=lambda doing: _excess(doing, suspect.recorded, tolerance), default=None)
    if worst is None:
        return replace(layer, diagnosis=UNKNOWN)
    text = next((of_weights[path] for path in layer.path.split(" + ") if path in of_weights), None)
    text = text or suspect.setting() or _of_leaf(suspect, tolerance) or _of_block(suspect, worst)
    picture = _picture(worst.made, suspect.recorded.tensor(worst.key))
    return replace(layer, where=worst.where, diagnosis=text or UNKNOWN, picture=picture)


def _excess(doing: Doing, recorded: Recorded, tolerance: Tolerance) -> float:
    found = gap(doing.made, recorded.tensor(doing.key), 0.0, tolerance)
    return float("inf") if found.problem else found.error / (found.scale or 1.0)


def _of_leaf(suspect: Suspect, tolerance: Tolerance) -> str | None:
    for what, module in suspect.changed():
        try:
            if _innocent(suspect, module, tolerance):
                return what
        except BROKEN:
            continue
    return None


def _innocent(suspect: Suspect, module: nn.Module, tolerance: Tolerance) -> bool:
    """Whether nothing that the changed layer makes differs by more than noise."""
    made = suspect.doings(module)
    runs = [[doing.made] for doing in made]
    if made and made[0].made.dtype == torch.float32:
        for run, doing in zip(runs, suspect.doings(module, torch.float64), strict=True):
            run.append(doing.made)
    return bool(made) and all(
        gap(run[0], suspect.recorded.tensor(doing.key), noise(*run), tolerance).ok
        for run, doing in zip(runs, made, strict=True)
    )


def _of_block(suspect: Suspect, doing: Doing) -> str | None:
    sources = _sources(suspect)
    reference = suspect.recorded.tensor(doing.key)
    if doing.made.ndim != 4:
        return None
    with torch.inference_mode():
        return block_diagnosis.explain(doing.made, reference, sources, _same)


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or not a.numel():
        return False
    close = CLOSE if a.dtype == torch.float32 else CLOSE_DOUBLE
    return bool((a - b).abs().max() <= close * b.abs().max())


def _sources(suspect: Suspect) -> dict[str, Tensor]:
    """What the layer has at hand: its own inputs, and what the layers in it put out."""
    inputs = tensors(suspect.args)
    named = {"its input" if len(inputs) == 1 else f"input {i}": x for i, x in enumerate(inputs)}
    prefix = f"{suspect.path}." if suspect.path else ""
    for (path, number), call in suspect.recorded.calls.items():
        below = path.removeprefix(prefix)
        if path.startswith(prefix) and _is_direct(suspect.module, below):
            for i, key in enumerate(call.outputs):
                if key is not None:
                    name = (
                        below + (f" (call {number})" if number else "") + (f" [{i}]" if i else "")
                    )
                    named[name] = suspect.recorded.tensor(key)
    return named


def _is_direct(module: nn.Module, below: str) -> bool:
    """Whether a layer is called by the module itself: only containers lie between."""
    *between, _ = below.split(".")
    for name in between:
        module = module.get_submodule(name)
        if not isinstance(module, nn.ModuleDict | nn.ModuleList):
            return False
    return bool(below)


def _picture(made: Tensor, reference: Tensor) -> Picture | None:
    if made.shape != reference.shape or made.ndim != 4 or not made.numel():
        return None
    errors = (made - reference).abs().amax(dim=(0, 1)).double().numpy()
    errors[~np.isfinite(errors)] = np.nan
    ours, theirs = made.ravel(), reference.ravel()
    evenly = torch.linspace(0, made.numel() - 1, POINTS).long()
    worst = (ours - theirs).abs().nan_to_num(nan=float("inf")).topk(min(made.numel(), POINTS // 8))
    at = torch.cat([evenly, worst.indices])
    return Picture(errors, ours[at].double().numpy(), theirs[at].double().numpy())
