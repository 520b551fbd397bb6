"""For each guilty layer: the usual mistakes are tried, and the one that explains it is named."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from picodet.alignment.diagnosis import blocks
from picodet.alignment.diagnosis.replay import CallId, Doing, Suspect, suspects
from picodet.alignment.diagnosis.weights import UNKNOWN as UNKNOWN_WEIGHT
from picodet.alignment.lockstep_runs import BROKEN, tensors
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.result import Finding, Gap, Layer, Picture
from picodet.alignment.tolerance import Tolerance, gap, noise
from picodet.models.picodet import PicoDet

UNKNOWN = "none of the usual mistakes makes the difference vanish"
POINTS = 400  # of a scatter
CLOSE = 1e-5  # of the scale, in float32: between the reference and a formula computed by us
CLOSE_DOUBLE = 1e-12
# Runs of a changed layer, in all layers together; one layer takes up to fifty.
MOST_ATTEMPTS = 1000
OF_BLOCK = 10  # what looking into a block counts as
NOISE = 0.5  # of what is allowed: right models stay below 4.4 times the noise, and 10 are allowed
FALLS = 3.0  # times: what is left of a difference that has vanished is so much smaller

Find = Callable[[PicoDet, Tensor, ReferenceTensors, Iterable[CallId]], Mapping[CallId, Suspect]]


def diagnose(
    layers: Sequence[Layer],
    model: PicoDet,
    images: Tensor,
    recorded: ReferenceTensors,
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
        tensor.rpartition(".")[0]: finding.diagnosis
        for finding in reversed(findings)
        for tensor in finding.tensors
    }
    search = _Search(tolerance, of_weights)
    return tuple(
        search.diagnosed(layer, found[_call(layer)])
        if layer.status == "guilty" and _call(layer) in found
        else layer
        for layer in layers
    )


def _call(layer: Layer) -> tuple[str, int]:
    """Of a folded pair the batch norm, which is the last of the two."""
    path = layer.path.split(" + ")[-1]
    return path, layer.call


class _Search:
    """Looks for what makes the difference vanish, in one layer after the other."""

    def __init__(self, tolerance: Tolerance, of_weights: Mapping[str, str]) -> None:
        self.tolerance = tolerance
        self.of_weights = of_weights  # by the path of a layer whose tensors differ: how they do
        self.attempts = 0
        self.helped: dict[str, None] = {}  # in other layers: tried first

    def diagnosed(self, layer: Layer, suspect: Suspect) -> Layer:
        """With a diagnosis and a picture."""
        try:
            doings = suspect.doings()
        except BROKEN as error:
            return replace(layer, diagnosis=f"it cannot be run: {type(error).__name__}: {error}")
        worst = max(
            doings, key=lambda doing: _excess(doing, suspect.recorded, self.tolerance), default=None
        )
        if worst is None:
            return replace(layer, diagnosis=UNKNOWN)
        paths = [path for path in layer.path.split(" + ") if path in self.of_weights]
        if paths:
            text = self._of_weights(suspect, self.of_weights[paths[0]])
        else:
            text = suspect.setting() or self._of_code(suspect, worst)
        picture = _picture(worst.made, suspect.recorded.tensor(worst.key))
        return replace(layer, where=worst.where, diagnosis=text, picture=picture)

    def _of_weights(self, suspect: Suspect, known: str) -> str:
        """Other weights than the reference's are reason enough, unless there is more to it."""
        text = known if known and known != UNKNOWN_WEIGHT else "its weights are not the reference's"
        repaired = suspect.repaired()
        if repaired is None or self._vanishes(suspect, repaired, self._over(suspect)):
            return text
        besides = self._of_setting(suspect, repaired)
        besides = besides or "it differs with the reference's weights too"
        return f"{text}; besides, {besides}"

    def _of_code(self, suspect: Suspect, worst: Doing) -> str:
        if self.attempts >= MOST_ATTEMPTS:
            return f"not looked into: {self.attempts:,} attempts went to the layers before it"
        text = self._of_setting(suspect, None)
        if text is None:
            self.attempts += OF_BLOCK
            text = _of_block(suspect, worst)
        return text or UNKNOWN

    def _of_setting(self, suspect: Suspect, module: nn.Module | None) -> str | None:
        """WeightSet other setting, of a layer without layers below it."""
        before = None
        for again in (True, False):
            for what, changed in suspect.changed(module) if self.helped or not again else ():
                if (what in self.helped) is not again:
                    continue
                if self.attempts >= MOST_ATTEMPTS:
                    return None
                before = self._over(suspect, module) if before is None else before
                if self._vanishes(suspect, changed, before):
                    self.helped[what] = None
                    return what
        return None

    def _vanishes(self, suspect: Suspect, module: nn.Module, before: float) -> bool:
        """Whether the changed layer leaves no more than noise of a difference of `before`.

        A difference that was little more than allowed and is now little less has not vanished.
        """
        return self._over(suspect, module) <= min(NOISE, before / FALLS)

    def _over(self, suspect: Suspect, module: nn.Module | None = None) -> float:
        """The greatest error of what the layer makes, in parts of what is allowed."""
        self.attempts += 1
        try:
            made = suspect.doings(module)
            runs = [[doing.made] for doing in made]
            if made and made[0].made.dtype == torch.float32:
                for run, doing in zip(runs, suspect.doings(module, torch.float64), strict=True):
                    run.append(doing.made)
        except BROKEN:
            return float("inf")
        found = [
            gap(run[0], suspect.recorded.tensor(doing.key), noise(*run), self.tolerance)
            for run, doing in zip(runs, made, strict=True)
        ]
        return max((_parts(each) for each in found), default=float("inf"))


def _parts(found: Gap) -> float:
    if found.problem or not np.isfinite(found.error):
        return float("inf")
    if not found.allowed:
        return float("inf") if found.error else 0.0
    return found.error / found.allowed


def _excess(doing: Doing, recorded: ReferenceTensors, tolerance: Tolerance) -> float:
    found = gap(doing.made, recorded.tensor(doing.key), 0.0, tolerance)
    return float("inf") if found.problem else found.error / (found.scale or 1.0)


def _of_block(suspect: Suspect, doing: Doing) -> str | None:
    sources = _sources(suspect)
    reference = suspect.recorded.tensor(doing.key)
    if doing.made.ndim != 4:
        return None
    with torch.inference_mode():
        return blocks.explain(doing.made, reference, sources, _same)


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
