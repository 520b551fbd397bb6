"""The weights stage: every tensor of the model against the reference's, bit for bit."""

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
DECODING_ONLY_SUFFIX = ".project"  # only a reference that decodes has it; its value is known


def compare_weights(
    state_dict: Mapping[str, Tensor], recording: Recording, pairing: Pairing, tolerance: Tolerance
) -> Stage:
    """Compare the model's weights, as they were loaded, with the reference's.

    Batch norms that the reference has folded are compared within rounding.
    """
    keys = {weight.name: weight.key for weight in recording.index.weights}
    candidate = {name: tensor.numpy() for name, tensor in state_dict.items()}
    candidate = {
        name: array for name, array in candidate.items() if not name.endswith(TORCH_ONLY_SUFFIX)
    }
    reference_keys: dict[str, TensorKey] = {}
    folded: dict[str, FoldedConvBN] = {}
    findings = [
        Finding(item.path, "no such tensor in the model", "a partner by the name table")
        for item in pairing.unpaired
        if item.type == "tensor"
    ]
    for name, array in candidate.items():
        paired = pairing.weights.get(name)
        if isinstance(paired, FoldedConvBN):
            folded[paired.conv] = paired
        elif paired is not None:
            reference_keys[name] = keys[paired]
        elif name.endswith(DECODING_ONLY_SUFFIX) and recording.index.operators:
            findings += _bin_findings(name, array, recording)
        else:
            findings.append(
                Finding(name, f"{list(array.shape)}", "no such tensor in the reference")
            )
    differing_names = [
        name for name, key in reference_keys.items() if content_key(candidate[name]) != key
    ]
    recorded = ReferenceTensors(recording, pairing)
    differences = [
        _difference(name, candidate, reference_keys, recording) for name in differing_names
    ]
    for folded_pair in folded.values():
        differences += _folded_differences(folded_pair, candidate, keys, recorded, tolerance)
    findings += group_by_cause(differences)
    num_equal = len(reference_keys) - len(differing_names)
    summary = f"{num_equal} of {len(reference_keys)} tensors equal bit for bit"
    if folded:
        summary += f"; {len(folded)} batch norms that the reference has folded, within rounding"
    if not reference_keys and not folded:
        return Stage(STAGE_NAME, "not compared", "no tensor of the reference has a partner", ())
    return Stage(STAGE_NAME, "differs" if findings else "aligned", summary, tuple(findings))


def _difference(
    name: str,
    candidate: Mapping[str, np.ndarray],
    reference_keys: Mapping[str, TensorKey],
    recording: Recording,
) -> WeightDifference:
    array, key = candidate[name], reference_keys[name]
    info = recording.index.tensors[key]
    reference = recording.tensor(key) if recording.has(key) else None
    same_form = (array.shape, array.dtype.name) == (info.shape, info.dtype)

    def finding(explained: bool) -> Finding:
        text = (
            explain(name, candidate, reference_keys, reference if same_form else None)
            if explained
            else ""
        )
        return Finding(name, *_worst_value(array, key, recording), text)

    return WeightDifference((name,), array, reference if same_form else None, finding)


def _worst_value(array: np.ndarray, key: TensorKey, recording: Recording) -> tuple[str, str]:
    """Where they differ most: the model's value with its index, and the reference's value."""
    info = recording.index.tensors[key]
    if array.dtype.name != info.dtype:
        return f"{list(array.shape)} {array.dtype}", f"{list(info.shape)} {info.dtype}"
    if array.shape != info.shape:
        return f"{list(array.shape)}", f"{list(info.shape)}"
    positions, values = recording.samples(key)
    flat = array.ravel()[positions]
    differing = ~((flat == values) | (np.isnan(flat) & np.isnan(values)))
    if not differing.any():
        return "other bits than the reference's", "equal tensors; all samples are equal"
    with np.errstate(invalid="ignore"):
        distance = np.where(differing, np.abs(flat - values), 0)
    position = int(np.nanargmax(distance)) if (distance > 0).any() else int(differing.argmax())
    where = [int(n) for n in np.unravel_index(int(positions[position]), array.shape)]
    count = f"{int(differing.sum())} of {array.size} values differ"
    if recording.index.samples:
        count = f"differs in {int(differing.sum())} of {len(positions)} samples"
    found, expected = format_distinct(float(flat[position]), float(values[position]))
    return f"{count}; at {where}: {found}", expected


def _bin_findings(name: str, array: np.ndarray, recording: Recording) -> list[Finding]:
    """The model's bins against their known values, where the reference has none."""
    boxes = recording.index.network_outputs.boxes
    if boxes is not None and recording.has(boxes):
        return []  # the reference decodes without visible bins: compared as decoding
    if bins.describe_bins(array) is not None:
        return []
    known = bins.exact_bins(len(array))
    position = int(np.abs(array - known).argmax())
    return [
        Finding(
            name,
            f"at [{position}]: {array[position]:.9g}",
            f"{known[position]:g}, or that with ppdet's EMA applied: the reference has no bins, "
            f"and its heads are decoded with 0 .. {len(array) - 1}",
            explain_known(name, array, known),
        )
    ]


def _folded_differences(
    folded_pair: FoldedConvBN,
    candidate: Mapping[str, np.ndarray],
    keys: Mapping[str, TensorKey],
    recorded: ReferenceTensors,
    tolerance: Tolerance,
) -> list[WeightDifference]:
    """The model's batch norm, folded as exporters do it, against the reference's convolution."""
    differences = []
    tensors = (f"{folded_pair.conv}.weight", f"{folded_pair.bn}.weight")
    pairs = zip(
        (folded_pair.weight, folded_pair.bias),
        *(fold_pair(folded_pair, candidate, t) for t in ("f4", "f8")),
        strict=True,
    )
    for name, single, double in pairs:
        runs = [torch.from_numpy(array) for array in (single, double)]
        found = recorded.measure_difference(runs[0], keys[name], tolerance, runs)
        if not found.ok:
            value, expected = format_distinct(found.model, found.reference)
            finding = Finding(
                f"{folded_pair.conv} with {folded_pair.bn}",
                found.problem or f"folded, at {list(found.index)}: {value}",
                f"{expected} in {name}",
            )
            reference = None
            if not found.problem and recorded.recording.has(keys[name]):
                reference = recorded.recording.tensor(keys[name])
            differences.append(
                WeightDifference(tensors, single, reference, partial(_undiagnosed, finding))
            )
    return differences


def _undiagnosed(finding: Finding, explained: bool) -> Finding:
    """The finding of a folded pair, for which no mistake in one tensor is a diagnosis."""
    return finding


def fold_pair(
    folded_pair: FoldedConvBN, candidate: Mapping[str, np.ndarray], dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a convolution with its batch norm folded into it, both of `dtype`."""
    weight = candidate[f"{folded_pair.conv}.weight"].astype(dtype)
    gamma, beta, mean, variance = (
        candidate[f"{folded_pair.bn}.{name}"].astype(dtype)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(variance + np.array(EPSILON, dtype))
    return weight * factor[:, None, None, None], beta - mean * factor
