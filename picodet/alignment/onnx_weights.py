"""An ONNX model's weights: in a torch model of ours, and against the reference's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.comparison import Finding, Rung, Verdict
from picodet.alignment.gap import Tolerance, gap
from picodet.alignment.index import content_key
from picodet.alignment.paired import Folded, Pairing
from picodet.alignment.recording import Recording
from picodet.alignment.weight_diagnosis import ATTEMPTS, UNKNOWN
from picodet.alignment.weights import compare_weights, fold_pair
from picodet.config import ModelConfig
from picodet.errors import AlignmentError
from picodet.graphs.graph import Graph
from picodet.graphs.places import Places
from picodet.graphs.tracing import Traced
from picodet.models.layers import EPSILON
from picodet.models.picodet import PicoDet

PROJECT = "head.integral.project"
STATISTICS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class OnnxWeights:
    """As the graph has them: by our names, and of each folded pair one weight and one bias."""

    single: Mapping[str, np.ndarray]
    folded: Mapping[str, tuple[np.ndarray, np.ndarray]]  # by the path of the convolution
    norms: Mapping[str, str]  # path of a folded convolution -> of its batch norm


def read_weights(traced: Traced, places: Places, graph: Graph, project: str | None) -> OnnxWeights:
    """project: what the bins' values are called in the graph, if it decodes."""
    single: dict[str, np.ndarray] = {}
    folded: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for k, partner in places.partners.items():
        names = traced.operators[k].weights
        conv = names.get("weight", "").removesuffix(".weight")
        if conv in places.folded:
            weight, bias = (graph.constants[partner.weights[r]] for r in ("weight", "bias"))
            folded[conv] = np.array(weight), np.array(bias).ravel()
        elif conv not in places.folded.values():
            roles = names.keys() & partner.weights.keys()
            single |= {names[role]: graph.constants[partner.weights[role]] for role in roles}
    if project is not None:
        single[PROJECT] = graph.constants[project].ravel()
    # onnx gives arrays that cannot be written to, which torch does not like
    shaped = {name: np.array(x).reshape(traced.shapes[name]) for name, x in single.items()}
    return OnnxWeights(shaped, folded, places.folded)


def fill(config: ModelConfig, weights: OnnxWeights) -> PicoDet:
    """A model of ours that computes the same; batch norms that were folded only add the bias."""
    with torch.random.fork_rng(devices=[]):
        model = PicoDet(config)
    state = model.state_dict()
    state |= {name: _tensor(array) for name, array in weights.single.items()}
    for conv, (weight, bias) in weights.folded.items():
        norm = weights.norms[conv]
        one = torch.ones(len(bias))
        neutral = (one, _tensor(bias), torch.zeros_like(one), one - EPSILON)
        state[f"{conv}.weight"] = _tensor(weight)
        state |= {f"{norm}.{name}": x for name, x in zip(STATISTICS, neutral, strict=True)}
    model.load_state_dict(state)
    return model.eval()


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


def compare_onnx_weights(
    weights: OnnxWeights, recording: Recording, pairing: Pairing, tolerance: Tolerance
) -> Rung:
    """What is not folded as of a model of ours; what is, after folding the reference's too."""
    state = {name: torch.from_numpy(array) for name, array in weights.single.items()}
    rung = compare_weights(state, recording, pairing, tolerance)
    if not weights.folded:
        return rung
    equal, findings = 0, list(rung.findings)
    for conv, ours in weights.folded.items():
        norm = weights.norms[conv]
        runs = _theirs(Folded("", "", conv, norm), recording, pairing)
        for i, name in enumerate((f"{conv}.weight", f"{norm}.bias")):
            if content_key(ours[i]) == content_key(runs[0][i]):
                equal += 1
            else:
                findings += _finding(name, ours[i], [run[i] for run in runs], tolerance)
    count = len(weights.folded)
    summary = (
        f"{rung.summary}; {count} batch norms that the ONNX has folded, {equal} of {2 * count} "
        "tensors of them equal bit for bit and the others within rounding"
    )
    verdict: Verdict = "differs" if findings else "aligned"
    return replace(rung, verdict=verdict, summary=summary, findings=tuple(findings))


def _theirs(
    pair: Folded, recording: Recording, pairing: Pairing
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of the reference, folded: by itself, or by us in float32 and in float64."""
    keys = {weight.name: weight.key for weight in recording.index.weights}

    def array(name: str) -> np.ndarray:
        if recording.index.samples:
            raise AlignmentError(
                f"{recording.path}: a summary has samples of the weights, and an ONNX whose batch "
                "norms are folded is compared with all of them; record it without --summary"
            )
        return recording.tensor(keys[name])

    place = pairing.weights[f"{pair.conv}.weight"]
    if isinstance(place, Folded):
        return [(array(place.weight), array(place.bias).ravel())]
    names = [f"{pair.conv}.weight", *(f"{pair.bn}.{name}" for name in STATISTICS)]
    theirs = {name: array(str(pairing.weights[name])) for name in names}
    return [fold_pair(pair, theirs, dtype) for dtype in ("f4", "f8")]


def _finding(
    name: str, ours: np.ndarray, runs: list[np.ndarray], tolerance: Tolerance
) -> list[Finding]:
    noise = float(np.abs(runs[0] - runs[-1]).max())
    found = gap(torch.from_numpy(ours), torch.from_numpy(runs[0]), noise, tolerance)
    if found.ok:
        return []
    at = f"folded, at {list(found.index)}: {found.ours:.7g}"
    why = None
    if not found.problem:  # what is equal within rounding is made equal, to see what is not
        near = np.where(np.abs(ours - runs[0]) <= found.allowed, runs[0], ours)
        why = next((text for attempt in ATTEMPTS if (text := attempt(near, runs[0]))), None)
    diagnosis = f"{name}: {why}" if why else UNKNOWN
    return [Finding(name, found.problem or at, f"{found.reference:.7g}", diagnosis)]
