"""The proof that a file computes what the model does: run beside torch, on the same input.

No tolerance is believed. How far torch itself is in float32 from float64, on this very input, in
three orders of addition and with numbers rounded the other way, is the noise; an output may be
NOISE_MULTIPLE times that from float64.

PicoHeadV2's scores are roots of products of two probabilities: their squares are compared. A
probability rounds like 1, in onnxruntime by up to 1.4e-7 even where it is 1e-9 itself, and a root
makes 4e-4 of that. Where scores begin to count, at 0.025, the 6e-7 that the square may be off at
least are 1.2e-5 of the score.
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

from picodet.alignment.result import Difference
from picodet.alignment.rounding import NUM_PERTURBATIONS, PerturbedRounding, SequentialSums
from picodet.alignment.tolerance import (
    NOISE_MULTIPLE,
    Tolerance,
    measure_difference,
    noise_between,
    worst,
)
from picodet.config import STRIDES
from picodet.errors import PicoDetError
from picodet.export.model_proto import fixed_size
from picodet.export.options import Wanted
from picodet.export.verify_inputs import Trial
from picodet.export.verify_runs import Detecting, Plain, shared
from picodet.formats.meta import META_KEY, bins_from_meta, config_from_meta
from picodet.models.pico_head_v2 import PicoHeadV2
from picodet.models.picodet import PicoDet
from picodet.ops import decode

TOLERANCE = Tolerance(NOISE_MULTIPLE)
OF_SIGMOID = 1.0  # magnitude of the numbers that a probability is computed from
EXACT = Tolerance(noise_factor=None, scale_factor=0.0)
SQUARED = " squared"


@dataclass(frozen=True)
class Verification:
    """How far a file is from torch."""

    gaps: dict[str, Difference]  # the worst of all runs, of each output, or of its square
    runs: int
    kept: tuple[int, int] | None  # of detections: rows that are torch's, one to one, of torch's

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "runs": self.runs,
            "kept": self.kept,
            "outputs": {
                name: {
                    "error": gap.error if isfinite(gap.error) else None,
                    "at": gap.index,
                    "allowed": gap.allowed,
                    "noise": gap.floor,
                    "problem": gap.problem,
                }
                for name, gap in self.gaps.items()
            },
        }

    @property
    def worst(self) -> str:
        """The output that is most beyond what is allowed, or nearest to it."""
        found = worst(list(self.gaps.values()))
        return next(name for name, each in self.gaps.items() if each is found)

    @property
    def ok(self) -> bool:
        return all(each.ok for each in self.gaps.values())


def verify(
    path: Path,
    model: PicoDet,
    wanted: Wanted,
    trials: Sequence[Trial],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Run the file at `path` and the model side by side.

    Raises PicoDetError for a file that is not valid or cannot be run.
    """
    check(path, model, wanted)
    exact = copy.deepcopy(model).double()
    with _explained():
        file = Detecting(path, wanted) if wanted.level == "detections" else Plain(path)
    found: dict[str, list[Difference]] = {}
    kept = [0, 0]
    for done, trial in enumerate(trials):
        progress(done, len(trials))
        with _explained():
            made, expected = file.run(trial)
        images = torch.from_numpy(trial.images)
        double = _outputs(exact, images.double(), wanted)
        single = list(_in_float32(model, images, wanted))
        gaps = {name: _exact(made[name], array) for name, array in expected.items()}
        for name, truth in double.items():
            sides = (torch.from_numpy(made[name]), truth, *(each[name] for each in single))
            if name.startswith("scores"):
                gaps |= _of_scores(name, sides, isinstance(model.head, PicoHeadV2))
            else:
                gaps[name] = _gap(*sides)
        for name, each in gaps.items():
            found.setdefault(name, []).append(each)
        if isinstance(file, Detecting):
            theirs = file.keep({name: x.numpy() for name, x in single[0].items()}, trial)
            of_boxes = gaps["boxes"].allowed / min(1, trial.scale_factors.min())
            of_scores = _allowed_of_scores(gaps, wanted.score_threshold)
            kept[0] += shared(made, theirs, np.array([of_scores, *[of_boxes] * 4]))
            kept[1] += len(theirs["rows"])
    worst_of = {name: most for name, several in found.items() if (most := worst(several))}
    return Verification(worst_of, len(trials), (kept[0], kept[1]) if any(kept) else None)


def _outputs(model: PicoDet, images: Tensor, wanted: Wanted) -> dict[str, Tensor]:
    """What torch computes, by the names that the file has for it."""
    integral = model.head.integral
    with torch.inference_mode():
        output = model(images)
        if wanted.level != "heads":
            return dict(zip(("boxes", "scores"), decode.decode(output, integral), strict=True))
    return {
        f"{name}_{stride}": of_level.flatten(2).transpose(1, 2)
        for name, maps in (("scores", output.scores()), ("sides", output.reg))
        for stride, of_level in zip(STRIDES, maps, strict=True)
    }


def _in_float32(model: PicoDet, images: Tensor, wanted: Wanted) -> Iterator[dict[str, Tensor]]:
    """As it is, with the additions in other orders, and rounded the other way, several times."""
    in_other_order = images.contiguous(memory_format=torch.channels_last)
    for each in (images, in_other_order):
        yield _outputs(model, each, wanted)
    for mode in (SequentialSums(), *map(PerturbedRounding, range(NUM_PERTURBATIONS))):
        with mode:
            outputs = _outputs(model, images, wanted)
        yield outputs


def _of_scores(name: str, sides: Sequence[Tensor], are_roots: bool) -> dict[str, Difference]:
    """The gap of scores, or of their squares."""
    if not are_roots:
        return {name: _gap(*sides, computed_at=OF_SIGMOID)}
    return {name + SQUARED: _gap(*(side.square() for side in sides), computed_at=OF_SIGMOID)}


def _allowed_of_scores(gaps: Mapping[str, Difference], least: float) -> float:
    """Of two scores above `least`: what the difference of their squares leaves to their own."""
    if "scores" in gaps:
        return gaps["scores"].allowed
    allowed = gaps["scores" + SQUARED].allowed
    return allowed / max(2 * least, allowed**0.5)


def _gap(made: Tensor, double: Tensor, *singles: Tensor, computed_at: float = 0.0) -> Difference:
    """From torch in float64, held against what float32 makes of the same in torch."""
    of_float32 = noise_between(double, *(single.double() for single in singles))
    return measure_difference(made, double.float(), of_float32, TOLERANCE, computed_at)


def _exact(made: np.ndarray, expected: np.ndarray) -> Difference:
    return measure_difference(torch.from_numpy(made), torch.from_numpy(expected), 0.0, EXACT)


def check(path: Path, model: PicoDet, wanted: Wanted) -> None:
    """Raise PicoDetError where the file is not valid ONNX, or its metadata is another model's."""
    try:
        onnx.checker.check_model(path, full_check=True)
        proto = onnx.load(path)
        shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise PicoDetError(f"the export is no valid ONNX: {error}") from error
    said = {entry.key: entry.value for entry in proto.metadata_props}
    config = replace(model.config, input_size=fixed_size(model, wanted) or model.config.input_size)
    meta = json.loads(said[META_KEY])
    project = tuple(model.head.integral.project.tolist())
    if config_from_meta(meta) != config or bins_from_meta(meta) != project:
        raise PicoDetError(f"the export's metadata {META_KEY} does not describe the model")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # onnxruntime's errors have no class of their own in common
        raise PicoDetError(f"onnxruntime cannot run the export: {error}") from error
