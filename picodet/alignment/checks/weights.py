"""The rung of the weights: every tensor of the reference against ours, bit for bit."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.diagnosis.common_cause import WeightDifference, group_by_cause
from picodet.alignment.diagnosis.weights import explain, explain_known
from picodet.alignment.pairing.pairs import FoldedConvBN, Pairing
from picodet.alignment.recording.index import content_key
from picodet.alignment.recording.reader import Recording
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.report.formatting import format_distinct
from picodet.alignment.result import Finding, Stage
from picodet.alignment.tolerance import Tolerance
from picodet.converter import bins
from picodet.converter.names.unmatched_tensors import TORCH_ONLY_SUFFIX
from picodet.graphs.operators import TensorKey
from picodet.models.layers import EPSILON

STAGE_NAME = "weights"
DECODING_ONLY_SUFFIX = (
    ".project"  # what only a reference that decodes has; its value is known all the same
)


def compare_weights(
    state_dict: Mapping[str, Tensor], recording: Recording, pairing: Pairing, tolerance: Tolerance
) -> Stage:
    """state: our state_dict, as it was loaded."""
    keys = {weight.name: weight.key for weight in recording.index.weights}
    ours = {name: tensor.numpy() for name, tensor in state_dict.items()}
    ours = {name: array for name, array in ours.items() if not name.endswith(TORCH_ONLY_SUFFIX)}
    theirs: dict[str, TensorKey] = {}
    folded: dict[str, FoldedConvBN] = {}
    findings = [
        Finding(item.path, "no tensor of ours", "a place for it by the name table")
        for item in pairing.unpaired
        if item.type == "tensor"
    ]
    for name, array in ours.items():
        paired = pairing.weights.get(name)
        if isinstance(paired, FoldedConvBN):
            folded[paired.conv] = paired
        elif paired is not None:
            theirs[name] = keys[paired]
        elif name.endswith(DECODING_ONLY_SUFFIX) and recording.index.operators:
            findings += _bin_findings(name, array, recording)
        else:
            findings.append(
                Finding(name, f"{list(array.shape)}", "no such tensor in the reference")
            )
    differing_names = [name for name, key in theirs.items() if content_key(ours[name]) != key]
    recorded = ReferenceTensors(recording, pairing)
    differences = [_difference(name, ours, theirs, recording) for name in differing_names]
    for folded_pair in folded.values():
        differences += _folded_differences(folded_pair, ours, keys, recorded, tolerance)
    findings += group_by_cause(differences)
    summary = f"{len(theirs) - len(differing_names)} of {len(theirs)} tensors equal bit for bit"
    if folded:
        summary += f"; {len(folded)} batch norms that the reference has folded, within rounding"
    if not theirs and not folded:
        return Stage(STAGE_NAME, "not compared", "no tensor of the reference has a partner", ())
    return Stage(STAGE_NAME, "differs" if findings else "aligned", summary, tuple(findings))


def _difference(
    name: str, ours: Mapping[str, np.ndarray], theirs: Mapping[str, TensorKey], recording: Recording
) -> WeightDifference:
    array, key = ours[name], theirs[name]
    info = recording.index.tensors[key]
    reference = recording.tensor(key) if recording.has(key) else None
    same_form = (array.shape, array.dtype.name) == (info.shape, info.dtype)

    def finding(explained: bool) -> Finding:
        text = explain(name, ours, theirs, reference if same_form else None) if explained else ""
        return Finding(name, *_worst_value(array, key, recording), text)

    return WeightDifference((name,), array, reference if same_form else None, finding)


def _worst_value(array: np.ndarray, key: TensorKey, recording: Recording) -> tuple[str, str]:
    """What ours is where it differs most, and what the reference's is there."""
    info = recording.index.tensors[key]
    if array.dtype.name != info.dtype:
        return f"{list(array.shape)} {array.dtype}", f"{list(info.shape)} {info.dtype}"
    if array.shape != info.shape:
        return f"{list(array.shape)}", f"{list(info.shape)}"
    positions, values = recording.samples(key)
    flat = array.ravel()[positions]
    differing = ~((flat == values) | (np.isnan(flat) & np.isnan(values)))
    if not differing.any():
        return "other bits than the reference's", "none of the samples differ"
    with np.errstate(invalid="ignore"):
        distance = np.where(differing, np.abs(flat - values), 0)
    worst = int(np.nanargmax(distance)) if (distance > 0).any() else int(differing.argmax())
    where = [int(n) for n in np.unravel_index(int(positions[worst]), array.shape)]
    count = f"{int(differing.sum())} of {array.size} values differ"
    if recording.index.samples:
        count = f"differs in {int(differing.sum())} of {len(positions)} samples"
    here, there = format_distinct(float(flat[worst]), float(values[worst]))
    return f"{count}; at {where}: {here}", there


def _bin_findings(name: str, array: np.ndarray, recording: Recording) -> list[Finding]:
    """The values of our bins where the reference holds none: theirs are known."""
    boxes = recording.index.ending.boxes
    if boxes is not None and recording.has(boxes):
        return []  # the reference decodes, in a way that shows no bins: compared as decoding
    if bins.describe_bins(array) is not None:
        return []
    known = bins.exact_bins(len(array))
    worst = int(np.abs(array - known).argmax())
    return [
        Finding(
            name,
            f"at [{worst}]: {array[worst]:.9g}",
            f"{known[worst]:g}, or what ppdet's EMA makes of it: the reference holds none, and "
            f"who decodes its heads takes 0 .. {len(array) - 1}",
            explain_known(name, array, known),
        )
    ]


def _folded_differences(
    folded_pair: FoldedConvBN,
    ours: Mapping[str, np.ndarray],
    keys: Mapping[str, TensorKey],
    recorded: ReferenceTensors,
    tolerance: Tolerance,
) -> list[WeightDifference]:
    """Our batch norm folded as the exporter did it, within what rounding makes of that."""
    differences = []
    tensors = (f"{folded_pair.conv}.weight", f"{folded_pair.bn}.weight")
    pairs = zip(
        (folded_pair.weight, folded_pair.bias),
        *(fold_pair(folded_pair, ours, t) for t in ("f4", "f8")),
        strict=True,
    )
    for name, single, double in pairs:
        runs = [torch.from_numpy(array) for array in (single, double)]
        found = recorded.measure_difference(runs[0], keys[name], tolerance, runs)
        if not found.ok:
            here, there = format_distinct(found.ours, found.reference)
            finding = Finding(
                f"{folded_pair.conv} with {folded_pair.bn}",
                found.problem or f"folded, at {list(found.index)}: {here}",
                f"{there} in {name}",
            )
            reference = None
            if not found.problem and recorded.recording.has(keys[name]):
                reference = recorded.recording.tensor(keys[name])
            differences.append(
                WeightDifference(tensors, single, reference, partial(_undiagnosed, finding))
            )
    return differences


def _undiagnosed(finding: Finding, diagnosed: bool) -> Finding:
    """Of a folded pair, which no mistake in one tensor explains."""
    return finding


def fold_pair(
    folded_pair: FoldedConvBN, ours: Mapping[str, np.ndarray], dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """The weight and the bias of a convolution with its batch norm in it."""
    weight = ours[f"{folded_pair.conv}.weight"].astype(dtype)
    gamma, beta, mean, variance = (
        ours[f"{folded_pair.bn}.{name}"].astype(dtype)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(variance + np.array(EPSILON, dtype))
    return weight * factor[:, None, None, None], beta - mean * factor
