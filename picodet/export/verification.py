"""The proof that a file computes what the model does: run beside torch, on the same input.

No tolerance is believed. What torch itself shows between float32 and float64 on this very input is
the noise, and an output may be NOISE_MULTIPLE times that from what torch computes in float64.
"""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import shape_inference
from torch import Tensor

from picodet import decoding
from picodet.alignment.comparison import Gap
from picodet.alignment.gap import NOISE_MULTIPLE, Tolerance, gap, noise, worst
from picodet.config import STRIDES
from picodet.errors import PicoDetError
from picodet.export import runtime
from picodet.export.onnx_file import IMAGE, SCALE_FACTOR, fixed_size
from picodet.export.trials import Trial
from picodet.export.wanted import Wanted
from picodet.meta import HEADER, config_of
from picodet.models.picodet import PicoDet
from picodet.postprocess import Candidates, select

TOLERANCE = Tolerance(NOISE_MULTIPLE)
OF_SIGMOID = 1.0  # magnitude of the numbers that a probability is computed from
EXACT = Tolerance(of_noise=None, of_scale=0.0)
Arrays = dict[str, np.ndarray]  # by name of the output


@dataclass(frozen=True)
class Verification:
    """How far a file is from torch."""

    gaps: dict[str, Gap]  # the worst of all runs, of each output
    runs: int

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
    with _explained(path):
        run = _Detecting(path, wanted) if wanted.level == "detections" else _Plain(path)
    found: dict[str, list[Gap]] = {}
    for done, trial in enumerate(trials):
        progress(done, len(trials))
        with _explained(path):
            made, expected = run(trial)
        single, double = (_outputs(each, trial.images, wanted) for each in (model, exact))
        gaps = {
            **{name: _exact(made[name], array) for name, array in expected.items()},
            **{name: _gap(made[name], double[name], single[name], name) for name in double},
        }
        for name, each in gaps.items():
            found.setdefault(name, []).append(each)
    worst_of = {name: most for name, several in found.items() if (most := worst(several))}
    return Verification(worst_of, len(trials))


class _Plain:
    """A file without NMS: its own outputs, all of which are held against torch."""

    def __init__(self, path: Path) -> None:
        self.session = runtime.open_file(path)

    def __call__(self, trial: Trial) -> tuple[Arrays, Arrays]:
        return runtime.run(self.session, _feed(trial)), {}


class _Detecting:
    """A file with NMS, and a copy of it that shows which boxes and scores go in.

    What goes in is held against torch within the noise, and what comes out against our own NMS of
    what goes in, bit for bit: no box has to be excused because it lies on a threshold.
    """

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.session, self.wanted = runtime.open_file(path), wanted
        opened = onnx.load(path)
        known = {value.name: value for value in opened.graph.value_info}
        opened.graph.output.extend(known[name] for name in ("boxes", "scores"))
        self.inside = runtime.open_file(opened.SerializeToString())

    def __call__(self, trial: Trial) -> tuple[Arrays, Arrays]:
        made = runtime.run(self.session, _feed(trial))
        inside = runtime.run(self.inside, _feed(trial))
        given = {name: inside[name] for name in ("boxes", "scores")}
        return made | given, self._kept(**given, scale_factors=trial.scale_factors)

    def _kept(self, boxes: np.ndarray, scores: np.ndarray, scale_factors: np.ndarray) -> Arrays:
        """What our own NMS keeps, as rows [N, 6] and nums [B]."""
        wanted = self.wanted
        if wanted.single_input:
            scale_factors = np.ones_like(scale_factors)
        found = [
            select(Candidates(*pair), factor, wanted.score_threshold, wanted.iou_threshold)
            for *pair, factor in zip(boxes, scores, scale_factors, strict=True)
        ]
        rows = [np.column_stack([each.classes, each.scores, each.boxes]) for each in found]
        nums = np.array([len(each) for each in found], np.int32)
        return {"rows": np.concatenate(rows).astype(np.float32), "nums": nums}


def _feed(trial: Trial) -> dict[str, np.ndarray]:
    return {IMAGE: trial.images, SCALE_FACTOR: trial.scale_factors}


def _outputs(model: PicoDet, images: np.ndarray, wanted: Wanted) -> dict[str, Tensor]:
    """What torch computes, by the names that the file has for it."""
    integral = model.head.integral
    with torch.inference_mode():
        output = model(torch.from_numpy(images).to(integral.project.dtype))
        if wanted.level != "heads":
            return dict(zip(("boxes", "scores"), decoding.decode(output, integral), strict=True))
    cells = [level.flatten(2).transpose(1, 2) for level in (*output.logits, *output.sides)]
    scores = {f"scores_{s}": x.sigmoid() for s, x in zip(STRIDES, cells, strict=False)}
    sides = {f"sides_{s}": x for s, x in zip(STRIDES, cells[len(STRIDES) :], strict=True)}
    return scores | sides


def _gap(made: np.ndarray, double: Tensor, single: Tensor, name: str) -> Gap:
    """From torch in float64, held against what float32 makes of the same in torch."""
    of_float32 = noise(double, single.double())
    computed_at = OF_SIGMOID if name.startswith("scores") else 0.0
    return gap(torch.from_numpy(made), double.float(), of_float32, TOLERANCE, computed_at)


def _exact(made: np.ndarray, expected: np.ndarray) -> Gap:
    return gap(torch.from_numpy(made), torch.from_numpy(expected), 0.0, EXACT)


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
    if config_of(json.loads(said[HEADER])) != config:
        raise PicoDetError(f"the export's metadata {HEADER} does not describe the model")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # onnxruntime's errors have no class of their own in common
        raise PicoDetError(f"onnxruntime cannot run the export: {error}") from error
