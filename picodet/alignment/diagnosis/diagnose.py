"""For each guilty layer: the usual mistakes are tried, and the one that explains it is named."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from picodet.alignment.diagnosis import blocks
from picodet.alignment.diagnosis.replay import CallId, FailingLayer, ProducedTensor, failing_layers
from picodet.alignment.diagnosis.weights import UNKNOWN as UNKNOWN_WEIGHT
from picodet.alignment.lockstep_runs import RUN_ERRORS, unique_tensors
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.result import Difference, ErrorPlots, Finding, Layer
from picodet.alignment.tolerance import Tolerance, measure_difference, noise_between
from picodet.models.picodet import PicoDet

UNKNOWN = "none of the usual mistakes makes the difference vanish"
SCATTER_POINTS = 400  # of a scatter
FLOAT32_RTOL = 1e-5  # of the scale, in float32: between the reference and a formula computed by us
FLOAT64_RTOL = 1e-12
# Runs of a changed layer, in all layers together; one layer takes up to fifty.
MAX_ATTEMPTS = 1000
BLOCK_ATTEMPTS = 10  # what looking into a block counts as
MAX_REMAINING = (
    0.5  # of what is allowed: right models stay below 4.4 times the noise, and 10 are allowed
)
MIN_REDUCTION = 3.0  # times: what is left of a difference that has vanished is so much smaller

FindFailingLayers = Callable[
    [PicoDet, Tensor, ReferenceTensors, Iterable[CallId]], Mapping[CallId, FailingLayer]
]


def diagnose(
    layers: Sequence[Layer],
    model: PicoDet,
    images: Tensor,
    recorded: ReferenceTensors,
    tolerance: Tolerance,
    findings: Sequence[Finding],
    find_failing_layers: FindFailingLayers = failing_layers,
) -> tuple[Layer, ...]:
    """The same layers; the guilty ones with a diagnosis and a picture.

    findings: of the weights, which explain a layer better than its output does. find: the guilty
    layers of what was compared, if that is not `model`.
    """
    if recorded.recording.index.samples:
        text = "a summary does not hold what the layer was fed; record in full to see why"
        return tuple(replace(x, diagnosis=text) if x.status == "guilty" else x for x in layers)
    calls = {_call(layer) for layer in layers if layer.status == "guilty"}
    found = find_failing_layers(model, images, recorded, calls) if calls else {}
    weight_diagnoses = {
        tensor.rpartition(".")[0]: finding.diagnosis
        for finding in reversed(findings)
        for tensor in finding.tensors
    }
    search = _DiagnosisSearch(tolerance, weight_diagnoses)
    return tuple(
        search.diagnose_layer(layer, found[_call(layer)])
        if layer.status == "guilty" and _call(layer) in found
        else layer
        for layer in layers
    )


def _call(layer: Layer) -> tuple[str, int]:
    """Of a folded pair the batch norm, which is the last of the two."""
    path = layer.path.split(" + ")[-1]
    return path, layer.call


class _DiagnosisSearch:
    """Looks for what makes the difference vanish, in one layer after the other."""

    def __init__(self, tolerance: Tolerance, weight_diagnoses: Mapping[str, str]) -> None:
        self.tolerance = tolerance
        self.weight_diagnoses = (
            weight_diagnoses  # by the path of a layer whose tensors differ: how they do
        )
        self.attempts = 0
        self.successful: dict[str, None] = {}  # in other layers: tried first

    def diagnose_layer(self, layer: Layer, failing: FailingLayer) -> Layer:
        """With a diagnosis and a picture."""
        try:
            produced = failing.produced_tensors()
        except RUN_ERRORS as error:
            return replace(layer, diagnosis=f"it cannot be run: {type(error).__name__}: {error}")
        worst = max(
            produced,
            key=lambda tensor: _error_over_scale(tensor, failing.recorded, self.tolerance),
            default=None,
        )
        if worst is None:
            return replace(layer, diagnosis=UNKNOWN)
        paths = [path for path in layer.path.split(" + ") if path in self.weight_diagnoses]
        if paths:
            text = self._diagnose_weights(failing, self.weight_diagnoses[paths[0]])
        else:
            text = failing.wrong_setting() or self._diagnose_code(failing, worst)
        error_plots = _error_plots(worst.value, failing.recorded.tensor(worst.key))
        return replace(layer, where=worst.where, diagnosis=text, error_plots=error_plots)

    def _diagnose_weights(self, failing: FailingLayer, known: str) -> str:
        """Other weights than the reference's are reason enough, unless there is more to it."""
        text = known if known and known != UNKNOWN_WEIGHT else "its weights are not the reference's"
        with_weights = failing.with_reference_weights()
        if with_weights is None or self._vanishes(
            failing, with_weights, self._relative_error(failing)
        ):
            return text
        besides = self._diagnose_setting(failing, with_weights)
        besides = besides or "it differs with the reference's weights too"
        return f"{text}; besides, {besides}"

    def _diagnose_code(self, failing: FailingLayer, worst: ProducedTensor) -> str:
        if self.attempts >= MAX_ATTEMPTS:
            return f"not looked into: {self.attempts:,} attempts went to the layers before it"
        text = self._diagnose_setting(failing, None)
        if text is None:
            self.attempts += BLOCK_ATTEMPTS
            text = _diagnose_block(failing, worst)
        return text or UNKNOWN

    def _diagnose_setting(self, failing: FailingLayer, module: nn.Module | None) -> str | None:
        """WeightSet other setting, of a layer without layers below it."""
        before = None
        for known_mistakes in (True, False):
            for what, variant in (
                failing.variants(module) if self.successful or not known_mistakes else ()
            ):
                if (what in self.successful) is not known_mistakes:
                    continue
                if self.attempts >= MAX_ATTEMPTS:
                    return None
                before = self._relative_error(failing, module) if before is None else before
                if self._vanishes(failing, variant, before):
                    self.successful[what] = None
                    return what
        return None

    def _vanishes(self, failing: FailingLayer, module: nn.Module, before: float) -> bool:
        """Whether the changed layer leaves no more than noise of a difference of `before`.

        A difference that was little more than allowed and is now little less has not vanished.
        """
        return self._relative_error(failing, module) <= min(MAX_REMAINING, before / MIN_REDUCTION)

    def _relative_error(self, failing: FailingLayer, module: nn.Module | None = None) -> float:
        """The greatest error of what the layer makes, in parts of what is allowed."""
        self.attempts += 1
        try:
            produced = failing.produced_tensors(module)
            runs = [[tensor.value] for tensor in produced]
            if produced and produced[0].value.dtype == torch.float32:
                for run, tensor in zip(
                    runs, failing.produced_tensors(module, torch.float64), strict=True
                ):
                    run.append(tensor.value)
        except RUN_ERRORS:
            return float("inf")
        found = [
            measure_difference(
                run[0], failing.recorded.tensor(tensor.key), noise_between(*run), self.tolerance
            )
            for run, tensor in zip(runs, produced, strict=True)
        ]
        return max((_error_over_allowed(each) for each in found), default=float("inf"))


def _error_over_allowed(found: Difference) -> float:
    if found.problem or not np.isfinite(found.error):
        return float("inf")
    if not found.allowed:
        return float("inf") if found.error else 0.0
    return found.error / found.allowed


def _error_over_scale(
    tensor: ProducedTensor, recorded: ReferenceTensors, tolerance: Tolerance
) -> float:
    found = measure_difference(tensor.value, recorded.tensor(tensor.key), 0.0, tolerance)
    return float("inf") if found.problem else found.error / (found.scale or 1.0)


def _diagnose_block(failing: FailingLayer, tensor: ProducedTensor) -> str | None:
    sources = _sources(failing)
    reference = failing.recorded.tensor(tensor.key)
    if tensor.value.ndim != 4:
        return None
    with torch.inference_mode():
        return blocks.explain(tensor.value, reference, sources, _nearly_equal)


def _nearly_equal(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or not a.numel():
        return False
    close = FLOAT32_RTOL if a.dtype == torch.float32 else FLOAT64_RTOL
    return bool((a - b).abs().max() <= close * b.abs().max())


def _sources(failing: FailingLayer) -> dict[str, Tensor]:
    """What the layer has at hand: its own inputs, and what the layers in it put out."""
    inputs = unique_tensors(failing.args)
    named = {"its input" if len(inputs) == 1 else f"input {i}": x for i, x in enumerate(inputs)}
    prefix = f"{failing.path}." if failing.path else ""
    for (path, number), call in failing.recorded.calls.items():
        below = path.removeprefix(prefix)
        if path.startswith(prefix) and _is_direct(failing.module, below):
            for i, key in enumerate(call.outputs):
                if key is not None:
                    name = (
                        below + (f" (call {number})" if number else "") + (f" [{i}]" if i else "")
                    )
                    named[name] = failing.recorded.tensor(key)
    return named


def _is_direct(module: nn.Module, below: str) -> bool:
    """Whether a layer is called by the module itself: only containers lie between."""
    *between, _ = below.split(".")
    for name in between:
        module = module.get_submodule(name)
        if not isinstance(module, nn.ModuleDict | nn.ModuleList):
            return False
    return bool(below)


def _error_plots(produced: Tensor, reference: Tensor) -> ErrorPlots | None:
    if produced.shape != reference.shape or produced.ndim != 4 or not produced.numel():
        return None
    errors = (produced - reference).abs().amax(dim=(0, 1)).double().numpy()
    errors[~np.isfinite(errors)] = np.nan
    ours, theirs = produced.ravel(), reference.ravel()
    evenly = torch.linspace(0, produced.numel() - 1, SCATTER_POINTS).long()
    worst = (
        (ours - theirs)
        .abs()
        .nan_to_num(nan=float("inf"))
        .topk(min(produced.numel(), SCATTER_POINTS // 8))
    )
    at = torch.cat([evenly, worst.indices])
    return ErrorPlots(errors, ours[at].double().numpy(), theirs[at].double().numpy())
