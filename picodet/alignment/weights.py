"""The rung of the weights: every tensor of the reference against ours, bit for bit."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.comparison import Finding, Rung
from picodet.alignment.gap import Tolerance, gap
from picodet.alignment.index import content_key
from picodet.alignment.paired import Folded, Pairing
from picodet.alignment.recording import Recording
from picodet.alignment.weight_diagnosis import explain, explain_known
from picodet.converter import bins
from picodet.converter.one_sided import OURS_ONLY_SUFFIX
from picodet.graphs.operators import Key
from picodet.models.layers import EPSILON

NAME = "weights"
DECODING_ONLY = (
    ".project"  # what only a reference that decodes has; its value is known all the same
)


def compare_weights(
    state: Mapping[str, Tensor], recording: Recording, pairing: Pairing, tolerance: Tolerance
) -> Rung:
    """state: our state_dict, as it was loaded."""
    keys = {weight.name: weight.key for weight in recording.index.weights}
    ours = {name: tensor.numpy() for name, tensor in state.items()}
    ours = {name: array for name, array in ours.items() if not name.endswith(OURS_ONLY_SUFFIX)}
    theirs: dict[str, Key] = {}
    folded: dict[str, Folded] = {}
    findings = [
        Finding(item.path, "no tensor of ours", "a place for it by the name table")
        for item in pairing.unpaired
        if item.type == "tensor"
    ]
    for name, array in ours.items():
        place = pairing.weights.get(name)
        if isinstance(place, Folded):
            folded[place.conv] = place
        elif place is not None:
            theirs[name] = keys[place]
        elif name.endswith(DECODING_ONLY) and recording.index.operators:
            findings += _known(name, array, recording)
        else:
            findings.append(
                Finding(name, f"{list(array.shape)}", "no such tensor in the reference")
            )
    wrong = [name for name, key in theirs.items() if content_key(ours[name]) != key]
    findings += [_finding(name, ours, theirs, recording) for name in wrong]
    findings += [
        finding
        for fold in folded.values()
        for finding in _folded(fold, ours, keys, recording, tolerance)
    ]
    summary = f"{len(theirs) - len(wrong)} of {len(theirs)} tensors equal bit for bit"
    if folded:
        summary += f"; {len(folded)} batch norms that the reference has folded, within rounding"
    if not theirs and not folded:
        return Rung(NAME, "not compared", "no tensor of the reference has a partner", ())
    return Rung(NAME, "differs" if findings else "aligned", summary, tuple(findings))


def _finding(
    name: str, ours: Mapping[str, np.ndarray], theirs: Mapping[str, Key], recording: Recording
) -> Finding:
    array, key = ours[name], theirs[name]
    stored = recording.index.tensors[key]
    found, expected = f"{list(array.shape)}", f"{list(stored.shape)}"
    values = None
    if array.shape == stored.shape:
        positions, values = recording.samples(key)
        flat = array.ravel()[positions]
        differing = ~((flat == values) | (np.isnan(flat) & np.isnan(values)))
        if differing.any():
            with np.errstate(invalid="ignore"):
                distance = np.where(differing, np.abs(flat - values), 0)
            worst = int(np.nanargmax(distance)) if (distance > 0).any() else int(differing.argmax())
            where = [int(n) for n in np.unravel_index(int(positions[worst]), array.shape)]
            count = f"{int(differing.sum())} of {array.size} values differ"
            if recording.index.samples:
                count = f"differs in {int(differing.sum())} of {len(positions)} samples"
            found = f"{count}; at {where}: {flat[worst]:.7g}"
            expected = f"{values[worst]:.7g}"
        else:
            found, expected = "other bits than the reference's", "none of the samples differ"
    whole = recording.tensor(key) if recording.has(key) else None
    return Finding(name, found, expected, explain(name, ours, theirs, whole))


def _known(name: str, array: np.ndarray, recording: Recording) -> list[Finding]:
    """The values of our bins where the reference holds none: theirs are known."""
    boxes = recording.index.ending.boxes
    if boxes is not None and recording.has(boxes):
        return []  # the reference decodes, in a way that shows no bins: compared as decoding
    if bins.origin(array) is not None:
        return []
    known = bins.expected(len(array))
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


def _folded(
    fold: Folded,
    ours: Mapping[str, np.ndarray],
    keys: Mapping[str, Key],
    recording: Recording,
    tolerance: Tolerance,
) -> list[Finding]:
    """Our batch norm folded as the exporter did it, within what rounding makes of that."""
    findings = []
    pairs = zip(
        (fold.weight, fold.bias), *(fold_pair(fold, ours, t) for t in ("f4", "f8")), strict=True
    )
    for name, single, double in pairs:
        noise = float(np.abs(single - double).max())
        reference = torch.from_numpy(recording.tensor(keys[name]))
        difference = gap(torch.from_numpy(single), reference, noise, tolerance)
        if not difference.ok:
            where = f"at {list(difference.index)}: {difference.ours:.7g}"
            findings.append(
                Finding(
                    f"{fold.conv} with {fold.bn}",
                    difference.problem or f"folded, {where}",
                    f"{difference.reference:.7g} in {name}",
                )
            )
    return findings


def fold_pair(
    fold: Folded, ours: Mapping[str, np.ndarray], dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """The weight and the bias of a convolution with its batch norm in it."""
    weight = ours[f"{fold.conv}.weight"].astype(dtype)
    gamma, beta, mean, variance = (
        ours[f"{fold.bn}.{name}"].astype(dtype)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(variance + np.array(EPSILON, dtype))
    return weight * factor[:, None, None, None], beta - mean * factor
