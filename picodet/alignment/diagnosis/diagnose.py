"""For each guilty layer known causes are tried, and the one that explains it is reported."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from picodet.alignment.diagnosis import blocks
from picodet.alignment.diagnosis.replay import CallId, FailingLayer, ProducedTensor, failing_layers
from picodet.alignment.lockstep_runs import RUN_ERRORS, unique_tensors
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.result import UNKNOWN_CAUSE, ErrorPlots, Finding, Layer, worst
from picodet.alignment.tolerance import Tolerance, measure_difference, noise_between
from picodet.models.picodet import PicoDet

SCATTER_POINTS = 400
FLOAT32_RTOL = 1e-5  # of the scale: between the reference and the same formula here
FLOAT64_RTOL = 1e-12
# Runs of changed layers, in total; one layer takes up to fifty.
MAX_ATTEMPTS = 1000
BLOCK_ATTEMPTS = 10  # counted for the search in one block
MAX_REMAINING = 0.5  # of what is allowed: 5 times the noise; right models stay below 4.4 times
MIN_REDUCTION = 3.0  # times: a difference that has vanished is smaller than before by this factor

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
    """The layers, the guilty ones with a diagnosis and plots.

    findings: of the weights, which explain a layer better than its output does.
    find_failing_layers: of what was compared, if that is not `model`. `model` is not changed.
    """
    if recorded.recording.index.samples:
        text = "no diagnosis: a summary lacks the layer's input; record without --summary"
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
    """Path and number of a call; of a folded pair the batch norm's, the last of the two."""
    path = layer.path.split(" + ")[-1]
    return path, layer.call


class _DiagnosisSearch:
    """Searches, in one layer after the other, for the change that makes the difference vanish."""

    def __init__(self, tolerance: Tolerance, weight_diagnoses: Mapping[str, str]) -> None:
        self.tolerance = tolerance
        self.weight_diagnoses = weight_diagnoses  # by the path of a layer whose weights differ
        self.attempts = 0
        self.successful: dict[str, None] = {}  # changes that explained earlier layers: tried first

    def diagnose_layer(self, layer: Layer, failing: FailingLayer) -> Layer:
        """The layer with a diagnosis and plots."""
        try:
            produced = failing.produced_tensors()
        except RUN_ERRORS as error:
            return replace(
                layer, diagnosis=f"the layer cannot be run: {type(error).__name__}: {error}"
            )
        tensor = self._worst_tensor(failing, produced)
        if tensor is None:
            return replace(layer, diagnosis=UNKNOWN_CAUSE)
        paths = [path for path in layer.path.split(" + ") if path in self.weight_diagnoses]
        if paths:
            text = self._diagnose_weights(failing, self.weight_diagnoses[paths[0]])
        else:
            text = failing.wrong_setting() or self._diagnose_code(failing, tensor)
        error_plots = _error_plots(tensor.value, failing.recorded.tensor(tensor.key))
        return replace(layer, where=tensor.where, diagnosis=text, error_plots=error_plots)

    def _diagnose_weights(self, failing: FailingLayer, known: str) -> str:
        """Wrong weights are the diagnosis, and what remains wrong with the reference's weights."""
        text = known if known and known != UNKNOWN_CAUSE else "its weights are not the reference's"
        with_weights = failing.with_reference_weights()
        if with_weights is None or self._vanishes(
            failing, with_weights, self._relative_error(failing)
        ):
            return text
        besides = self._diagnose_setting(failing, with_weights)
        besides = besides or "it differs with the reference's weights too"
        return f"{text}; also, {besides}"

    def _diagnose_code(self, failing: FailingLayer, tensor: ProducedTensor) -> str:
        if self.attempts >= MAX_ATTEMPTS:
            return f"not examined: the limit of {MAX_ATTEMPTS:,} attempts was reached before it"
        text = self._diagnose_setting(failing, None)
        if text is None:
            self.attempts += BLOCK_ATTEMPTS
            text = _diagnose_block(failing, tensor)
        return text or UNKNOWN_CAUSE

    def _diagnose_setting(self, failing: FailingLayer, module: nn.Module | None) -> str | None:
        """The setting of a leaf layer that gives the reference's output; None if none does."""
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
        """The greatest error among the tensors that the layer computes, over what is allowed."""
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
        found = worst(
            measure_difference(
                run[0], failing.recorded.tensor(tensor.key), noise_between(*run), self.tolerance
            )
            for run, tensor in zip(runs, produced, strict=True)
        )
        return found.error_over_allowed if found else float("inf")

    def _worst_tensor(
        self, failing: FailingLayer, produced: Sequence[ProducedTensor]
    ) -> ProducedTensor | None:
        """The one with the greatest error over its scale."""

        def error(tensor: ProducedTensor) -> float:
            reference = failing.recorded.tensor(tensor.key)
            found = measure_difference(tensor.value, reference, 0.0, self.tolerance)
            return float("inf") if found.problem else found.error / (found.scale or 1.0)

        return max(produced, key=error, default=None)


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
    """The tensors that the layer computes with: its inputs, and its direct layers' outputs."""
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
    """Whether a layer is called by the module itself: only containers are between."""
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
    values, expected = produced.ravel(), reference.ravel()
    evenly = torch.linspace(0, produced.numel() - 1, SCATTER_POINTS).long()
    distance = (values - expected).abs().nan_to_num(nan=float("inf"))
    greatest = distance.topk(min(produced.numel(), SCATTER_POINTS // 8))
    at = torch.cat([evenly, greatest.indices])
    return ErrorPlots(errors, values[at].double().numpy(), expected[at].double().numpy())
