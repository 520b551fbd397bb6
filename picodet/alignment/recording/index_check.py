"""Consistency checks of a recording's index. NumPy only.

Every reader of a recording relies on them: shapes and dtypes of tensors, operators that only use
outputs of earlier ones, unique names. A file whose keys are swapped is so rejected at once.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from picodet.alignment.recording.index import (
    Index,
    PreprocessingSettings,
    RecordedOutputs,
    TensorInfo,
)
from picodet.config import STRIDES, check_input_size
from picodet.graphs.operators import Operator, TensorKey

STEPS = ("decode", "colour", "resize", "normalise")
FLOATS = ("float32", "float64")
MAX_GRAPH_INPUTS = 2  # the image and its scale factor, in any order
MAX_VALUES = 1 << 40  # of a tensor that is stored as samples
# the weights that an operator of a kind must have
REQUIRED_WEIGHTS = {
    "conv": {"weight"},
    "batch_norm": {"weight", "bias", "running_mean", "running_var"},
}


def check_index(index: Index) -> None:
    """Raise ValueError where parts of the index contradict each other."""
    tensors = index.tensors
    for key, info in tensors.items():
        if min(info.shape, default=1) < 0 or math.prod(info.shape) > MAX_VALUES:
            raise ValueError(f"tensor {key} has the shape {list(info.shape)!s:.60}")
    input_info = tensors[index.input]
    if (
        input_info.dtype != index.precision
        or len(input_info.shape) != 4
        or input_info.shape[:2] != (1, 3)
    ):
        raise ValueError(
            f"the input is {_describe(input_info)}; expected [1, 3, H, W] {index.precision}"
        )
    check_input_size((input_info.shape[2], input_info.shape[3]))
    if index.image is not None:
        _check_tensor(tensors[index.image], "the image", [None], ["uint8"])
    if not all(math.isfinite(factor) and factor > 0 for factor in index.scale_factor):
        raise ValueError(
            f"the scale factor is {list(index.scale_factor)}; expected positive numbers"
        )
    if index.settings is not None:
        _check_settings(index.settings)
    _check_steps(index)
    _unique("weight", [weight.name for weight in index.weights])
    _unique("call", [(call.path, call.number) for call in index.calls])
    for call in index.calls:
        if call.number < 0:
            raise ValueError(f"{call.path!r:.80} has call number {call.number}; expected 0 or more")
    _check_operators(index.operators, {weight.name for weight in index.weights})
    _check_outputs(index.network_outputs, tensors)
    _check_probes(index.probes, tensors)


def _check_settings(settings: PreprocessingSettings) -> None:
    check_input_size(settings.size)
    numbers = (*settings.mean, *settings.std)
    if not all(map(math.isfinite, numbers)) or 0 in settings.std or settings.interp not in range(5):
        raise ValueError(f"impossible preprocessing settings {settings!s:.200}")


def _check_steps(index: Index) -> None:
    names = [step.name for step in index.steps]
    _unique("step", names)
    if unknown := set(names) - {*STEPS}:
        raise ValueError(
            f"unknown preprocessing step {min(unknown)!r:.40}; expected {', '.join(STEPS)}"
        )
    if names and index.image is None:
        raise ValueError("it has preprocessing steps, but no image")
    for step in index.steps:
        shape: list[int | None] = [None, None, 3]
        if step.name == "normalise":
            shape.reverse()
        _check_tensor(index.tensors[step.key], step.name, shape, (*FLOATS, "uint8"))


def _check_operators(operators: Sequence[Operator], weights: set[str]) -> None:
    for i, operator in enumerate(operators):
        what = f"operator {operator.name!r:.80}"
        if not operator.outputs:
            raise ValueError(f"{what} has no outputs")
        for source in operator.sources:
            if not -1 <= source.operator < i:
                raise ValueError(
                    f"{what} takes an output of operator {source.operator}, but is operator {i} "
                    "itself; expected an earlier one"
                )
            is_graph_input = source.operator < 0
            num_outputs = (
                MAX_GRAPH_INPUTS if is_graph_input else len(operators[source.operator].outputs)
            )
            if not 0 <= source.index < num_outputs:
                raise ValueError(
                    f"{what} takes output {source.index} of an operator with {num_outputs}"
                )
        if unknown := set(operator.weights.values()) - weights:
            raise ValueError(f"{what} has a weight {min(unknown)!r:.80} that is not recorded")
        if missing := REQUIRED_WEIGHTS.get(operator.kind, set()) - operator.weights.keys():
            raise ValueError(f"{what}, a {operator.kind}, has no {min(missing)}")


def _check_outputs(outputs: RecordedOutputs, tensors: Mapping[TensorKey, TensorInfo]) -> None:
    levels = len(STRIDES)
    if not len(outputs.scores) == len(outputs.reg) == levels:
        raise ValueError(
            f"scores of {len(outputs.scores)} levels and reg of {len(outputs.reg)}; expected "
            f"{levels} each"
        )
    for name, keys in (("scores", outputs.scores), ("reg", outputs.reg)):
        channels = None
        for key in keys:
            _check_tensor(tensors[key], name, [1, channels, None])
            channels = tensors[key].shape[1]
    for scores, reg in zip(outputs.scores, outputs.reg, strict=True):
        if tensors[scores].shape[2] != tensors[reg].shape[2]:
            raise ValueError("scores and reg of a level have different numbers of anchor points")
    if outputs.boxes is not None:
        _check_tensor(tensors[outputs.boxes], "boxes", [1, None, 4])
    if outputs.box_scores is not None:
        num_anchors = None if outputs.boxes is None else tensors[outputs.boxes].shape[1]
        _check_tensor(tensors[outputs.box_scores], "box scores", [1, None, num_anchors])
    if outputs.kept is not None:
        _check_tensor(tensors[outputs.kept], "the output of the NMS", [None, 6])


def _check_probes(
    answers: Mapping[str, TensorKey], tensors: Mapping[TensorKey, TensorInfo]
) -> None:
    for name, key in answers.items():
        columns = {"boxes": 4, "NMS": 6}
        last = next((n for part, n in columns.items() if part in name.split("/")), None)
        if name.startswith("preprocessing/"):
            _check_tensor(tensors[key], name, [3, None, None])
        else:
            _check_tensor(tensors[key], name, [None, last])


def _check_tensor(
    info: TensorInfo, name: str, shape: Sequence[int | None], dtypes: Sequence[str] = FLOATS
) -> None:
    """Raise ValueError for another shape or dtype; None in `shape` stands for any size."""
    fits = len(info.shape) == len(shape) and all(
        side is None or side == found for side, found in zip(shape, info.shape, strict=True)
    )
    if not fits or info.dtype not in dtypes:
        text = ", ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(f"{name}: {_describe(info)}; expected [{text}] {' or '.join(dtypes)}")


def _describe(info: TensorInfo) -> str:
    return f"{list(info.shape)!s:.60} {info.dtype:.20}"


def _unique(what: str, names: Iterable[object]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"duplicate {what} {name!s:.80}")
        seen.add(name)
