"""Verifies that a file computes what the model does: both run on the same input.

The tolerance is measured. The noise is the error of torch in float32 against float64 on this
input, in three summation orders and with numbers rounded the other way; the error of an output
may be NOISE_MULTIPLE times that.

PicoHeadV2's scores are square roots of products of two probabilities: their squares are compared.
A probability rounds like 1, in onnxruntime by up to 1.4e-7 even where it is 1e-9, of which the root
makes 4e-4. At the score threshold 0.025 the least tolerance of the square, 6e-7, is 1.2e-5 of the
score.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import shape_inference
from torch import Tensor

from picodet.alignment.result import Difference, worst
from picodet.alignment.rounding import NUM_PERTURBATIONS, PerturbedRounding, SequentialSums
from picodet.alignment.tolerance import (
    NOISE_MULTIPLE,
    Tolerance,
    measure_difference,
    noise_between,
)
from picodet.config import STRIDES
from picodet.errors import PicoDetError
from picodet.exporter.model_proto import fixed_size
from picodet.exporter.options import ExportOptions
from picodet.exporter.verify_inputs import VerifyInputs
from picodet.exporter.verify_runs import DetectionRun, RawRun, count_shared_rows
from picodet.formats.meta import META_KEY, bins_from_meta, config_from_meta
from picodet.models.pico_head_v2 import PicoHeadV2
from picodet.models.picodet import PicoDet
from picodet.ops import decode

TOLERANCE = Tolerance(NOISE_MULTIPLE)
SIGMOID_SCALE = 1.0  # magnitude of the numbers from which a probability is computed
EXACT_TOLERANCE = Tolerance()
SQUARED_SUFFIX = " squared"


@dataclass(frozen=True)
class Verification:
    """The errors of a file's outputs against torch."""

    differences: dict[str, Difference]  # largest of all runs, by output or its square
    runs: int
    kept: tuple[int, int] | None  # of detections: rows equal to torch's, of how many

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "runs": self.runs,
            "kept": self.kept,
            "outputs": {
                name: {
                    "error": difference.error if isfinite(difference.error) else None,
                    "at": difference.index,
                    "allowed": difference.allowed,
                    "noise": difference.floor,
                    "problem": difference.problem,
                }
                for name, difference in self.differences.items()
            },
        }

    @property
    def worst(self) -> str:
        """The output whose error is largest relative to what is allowed."""
        found = worst(list(self.differences.values()))
        return next(name for name, each in self.differences.items() if each is found)

    @property
    def ok(self) -> bool:
        return all(each.ok for each in self.differences.values())


def verify(
    path: Path,
    model: PicoDet,
    options: ExportOptions,
    all_inputs: Sequence[VerifyInputs],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Run the file at `path` and the model on the same inputs, and compare their outputs.

    Raises PicoDetError for a file that is not valid or cannot be run.
    """
    check_file(path, model, options)
    exact = copy.deepcopy(model).double()
    with _onnxruntime_errors():
        file = DetectionRun(path, options) if options.level == "detections" else RawRun(path)
    found: dict[str, list[Difference]] = {}
    kept = [0, 0]
    for done, inputs in enumerate(all_inputs):
        progress(done, len(all_inputs))
        with _onnxruntime_errors():
            outputs, expected = file.run(inputs)
        images = torch.from_numpy(inputs.images)
        exact_outputs = _outputs(exact, images.double(), options)
        float32_outputs = list(_in_float32(model, images, options))
        differences = {
            name: _compare_exact(outputs[name], array) for name, array in expected.items()
        }
        for name, exact_output in exact_outputs.items():
            tensors = (
                torch.from_numpy(outputs[name]),
                exact_output,
                *(each[name] for each in float32_outputs),
            )
            if name.startswith("scores"):
                differences |= _compare_scores(name, tensors, isinstance(model.head, PicoHeadV2))
            else:
                differences[name] = _compare(*tensors)
        for name, each in differences.items():
            found.setdefault(name, []).append(each)
        if isinstance(file, DetectionRun):
            torch_rows = file.expected_detections(
                {name: x.numpy() for name, x in float32_outputs[0].items()}, inputs
            )
            box_tolerance = differences["boxes"].allowed / min(1, inputs.scale_factors.min())
            score_tolerance = _allowed_score_difference(differences, options.score_threshold)
            kept[0] += count_shared_rows(
                outputs, torch_rows, np.array([score_tolerance, *[box_tolerance] * 4])
            )
            kept[1] += len(torch_rows["rows"])
    worst_of = {name: most for name, several in found.items() if (most := worst(several))}
    return Verification(worst_of, len(all_inputs), (kept[0], kept[1]) if any(kept) else None)


def _outputs(model: PicoDet, images: Tensor, options: ExportOptions) -> dict[str, Tensor]:
    """torch's outputs, by the file's names of them."""
    integral = model.head.integral
    with torch.inference_mode():
        output = model(images)
        if options.level != "heads":
            return dict(zip(("boxes", "scores"), decode.decode(output, integral), strict=True))
    return {
        f"{name}_{stride}": level_map.flatten(2).transpose(1, 2)
        for name, maps in (("scores", output.scores()), ("reg", output.reg))
        for stride, level_map in zip(STRIDES, maps, strict=True)
    }


def _in_float32(
    model: PicoDet, images: Tensor, options: ExportOptions
) -> Iterator[dict[str, Tensor]]:
    """torch's outputs in float32: unchanged, in other summation orders, and rounded otherwise."""
    channels_last = images.contiguous(memory_format=torch.channels_last)
    for each in (images, channels_last):
        yield _outputs(model, each, options)
    for mode in (SequentialSums(), *map(PerturbedRounding, range(NUM_PERTURBATIONS))):
        with mode:
            outputs = _outputs(model, images, options)
        yield outputs


def _compare_scores(
    name: str, tensors: Sequence[Tensor], is_geometric_mean: bool
) -> dict[str, Difference]:
    """The difference of scores, or of their squares."""
    if not is_geometric_mean:
        return {name: _compare(*tensors, computed_at=SIGMOID_SCALE)}
    return {
        name + SQUARED_SUFFIX: _compare(
            *(tensor.square() for tensor in tensors), computed_at=SIGMOID_SCALE
        )
    }


def _allowed_score_difference(differences: Mapping[str, Difference], min_score: float) -> float:
    """The allowed difference of two scores above `min_score`, from that of their squares."""
    if "scores" in differences:
        return differences["scores"].allowed
    allowed = differences["scores" + SQUARED_SUFFIX].allowed
    return allowed / max(2 * min_score, allowed**0.5)


def _compare(
    outputs: Tensor, double: Tensor, *float32: Tensor, computed_at: float = 0.0
) -> Difference:
    """The error of `outputs` against torch in float64, by the noise of torch in float32."""
    float32_noise = noise_between(
        double, *(float32_outputs.double() for float32_outputs in float32)
    )
    return measure_difference(outputs, double.float(), float32_noise, TOLERANCE, computed_at)


def _compare_exact(outputs: np.ndarray, expected: np.ndarray) -> Difference:
    return measure_difference(
        torch.from_numpy(outputs), torch.from_numpy(expected), 0.0, EXACT_TOLERANCE
    )


def check_file(path: Path, model: PicoDet, options: ExportOptions) -> None:
    """Raise PicoDetError if the file is not valid ONNX or its metadata describes another model."""
    try:
        onnx.checker.check_model(path, full_check=True)
        proto = onnx.load(path)
        shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise PicoDetError(f"the export is not valid ONNX: {error}") from error
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    config = replace(model.config, input_size=fixed_size(model, options) or model.config.input_size)
    meta = json.loads(metadata[META_KEY])
    project = tuple(model.head.integral.project.tolist())
    if config_from_meta(meta) != config or bins_from_meta(meta) != project:
        raise PicoDetError(f"the export's metadata {META_KEY} does not describe the model")


@contextmanager
def _onnxruntime_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # onnxruntime's errors have no common class
        raise PicoDetError(f"onnxruntime cannot run the export: {error}") from error
