"""An ONNX model's weights: as a PyTorch model, and against the reference's."""

from dataclasses import replace

import numpy as np
import torch

from picodet.alignment.checks.weights import compare_weights, fold_pair
from picodet.alignment.diagnosis.common_cause import WeightDifference, group_by_cause
from picodet.alignment.diagnosis.weights import ATTEMPTS
from picodet.alignment.pairing.pairs import FoldedConvBN, Pairing
from picodet.alignment.recording.index import content_key
from picodet.alignment.recording.reader import Recording
from picodet.alignment.report.formatting import format_distinct
from picodet.alignment.result import UNKNOWN_CAUSE, Finding, Stage, Verdict
from picodet.alignment.tolerance import Tolerance, measure_difference
from picodet.config import ModelConfig
from picodet.errors import AlignmentError
from picodet.graphs.weights import BATCH_NORM_TENSORS, GraphWeights
from picodet.models.picodet import PicoDet


def build_model(config: ModelConfig, weights: GraphWeights) -> PicoDet:
    """A PyTorch model with these weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        model = PicoDet(config)
    state = {name: torch.from_numpy(array) for name, array in weights.state_dict().items()}
    model.load_state_dict(model.state_dict() | state)
    return model.eval()


def compare_onnx_weights(
    weights: GraphWeights, recording: Recording, pairing: Pairing, tolerance: Tolerance
) -> Stage:
    """Compare weights with the reference's; folded ones after folding the reference's too."""
    state = {name: torch.from_numpy(array) for name, array in weights.single.items()}
    stage = compare_weights(state, recording, pairing, tolerance)
    if not weights.folded:
        return stage
    equal, differences = 0, list[WeightDifference]()
    for conv, folded in weights.folded.items():
        norm = weights.norms[conv]
        runs = _folded_reference(FoldedConvBN("", "", conv, norm), recording, pairing)
        for i, name in enumerate((f"{conv}.weight", f"{norm}.bias")):
            if content_key(folded[i]) == content_key(runs[0][i]):
                equal += 1
            else:
                tensors = (f"{conv}.weight", f"{norm}.weight")
                arrays = [run[i] for run in runs]
                differences += _differences(name, tensors, folded[i], arrays, tolerance)
    count = len(weights.folded)
    summary = (
        f"{stage.summary}; {count} batch norms folded in the ONNX file: {equal} of {2 * count} "
        "tensors equal bit for bit, the others within rounding"
    )
    findings = (*stage.findings, *group_by_cause(differences))
    verdict: Verdict = "differs" if findings else "aligned"
    return replace(stage, verdict=verdict, summary=summary, findings=findings)


def _folded_reference(
    pair: FoldedConvBN, recording: Recording, pairing: Pairing
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The reference's folded weight and bias: its own, or folded here in float32 and float64."""
    keys = {weight.name: weight.key for weight in recording.index.weights}

    def array(name: str) -> np.ndarray:
        if recording.index.samples:
            raise AlignmentError(
                f"{recording.path}: a summary has only samples of the weights; an ONNX file with "
                "folded batch norms needs all values; record without --summary"
            )
        return recording.tensor(keys[name])

    paired = pairing.weights[f"{pair.conv}.weight"]
    if isinstance(paired, FoldedConvBN):
        return [(array(paired.weight), array(paired.bias).ravel())]
    names = [f"{pair.conv}.weight", *(f"{pair.bn}.{name}" for name in BATCH_NORM_TENSORS)]
    reference = {name: array(str(pairing.weights[name])) for name in names}
    return [fold_pair(pair, reference, dtype) for dtype in ("f4", "f8")]


def _differences(
    name: str,
    tensors: tuple[str, ...],
    folded: np.ndarray,
    runs: list[np.ndarray],
    tolerance: Tolerance,
) -> list[WeightDifference]:
    noise = float(np.abs(runs[0] - runs[-1]).max())
    found = measure_difference(
        torch.from_numpy(folded), torch.from_numpy(runs[0]), noise, tolerance
    )
    if found.ok:
        return []
    value, expected = format_distinct(found.model, found.reference)
    text = found.problem or f"folded, at {list(found.index)}: {value}"
    unexplained = Finding(name, text, expected)

    def finding(explained: bool) -> Finding:
        cause = None
        if explained and not found.problem:
            # what is equal within rounding is made equal, so that only the rest is explained
            near = np.where(np.abs(folded - runs[0]) <= found.allowed, runs[0], folded)
            cause = next((text for attempt in ATTEMPTS if (text := attempt(near, runs[0]))), None)
        return replace(unexplained, diagnosis=f"{name}: {cause}" if cause else UNKNOWN_CAUSE)

    return [WeightDifference(tensors, folded, None if found.problem else runs[0], finding)]
