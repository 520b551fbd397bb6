"""An exported file, run on a trial: what it puts out, and what is known of that to the last bit."""

from pathlib import Path

import numpy as np
import onnx

from picodet.exporter import ort
from picodet.exporter.model_proto import IMAGE, SCALE_FACTOR
from picodet.exporter.options import ExportOptions
from picodet.exporter.verify_inputs import Trial
from picodet.ops.postprocess import Candidates, apply_nms

Arrays = dict[str, np.ndarray]  # by name of the output


class Plain:
    """A file without NMS: its own outputs, all of which are held against torch."""

    def __init__(self, path: Path) -> None:
        self.session = ort.open_file(path)

    def run(self, trial: Trial) -> tuple[Arrays, Arrays]:
        """Outputs, and those that are known to the last bit."""
        return ort.run(self.session, _feed(trial)), {}


class Detecting:
    """A file with NMS, and a copy of it that shows which boxes and scores go in.

    What goes in is held against torch within the noise, and what comes out against our own NMS of
    what goes in, bit for bit: no box has to be excused because it lies on a threshold.
    """

    def __init__(self, path: Path, wanted: ExportOptions) -> None:
        self.session, self.wanted = ort.open_file(path), wanted
        opened = onnx.load(path)
        known = {value.name: value for value in opened.graph.value_info}
        opened.graph.output.extend(known[name] for name in ("boxes", "scores"))
        self.inside = ort.open_file(opened.SerializeToString())

    def run(self, trial: Trial) -> tuple[Arrays, Arrays]:
        """Outputs and what goes into the NMS, and what is to come out of it."""
        made = ort.run(self.session, _feed(trial))
        inside = ort.run(self.inside, _feed(trial))
        given = {name: inside[name] for name in ("boxes", "scores")}
        return made | given, self.keep(given, trial)

    def keep(self, given: Arrays, trial: Trial) -> Arrays:
        """What our own NMS keeps of boxes [B, A, 4] and scores [B, C, A]: rows [N, 6], nums [B]."""
        wanted, factors = self.wanted, trial.scale_factors
        if wanted.single_input:
            factors = np.ones_like(factors)
        found = [
            apply_nms(Candidates(*pair), factor, wanted.score_threshold, wanted.iou_threshold)
            for *pair, factor in zip(given["boxes"], given["scores"], factors, strict=True)
        ]
        rows = [np.column_stack([each.classes, each.scores, each.boxes]) for each in found]
        nums = np.array([len(each) for each in found], np.int32)
        return {"rows": np.concatenate(rows).astype(np.float32), "nums": nums}


def _feed(trial: Trial) -> dict[str, np.ndarray]:
    return {IMAGE: trial.images, SCALE_FACTOR: trial.scale_factors}


def shared(ours: Arrays, theirs: Arrays, allowed: np.ndarray) -> int:
    """How many of their rows ours has too, one to one.

    Same class, and score and sides [5] within what is allowed.
    """
    count = 0
    for our_rows, their_rows in zip(*map(_by_picture, (ours, theirs)), strict=True):
        left = list(our_rows)
        for row in their_rows:
            near = (i for i, other in enumerate(left) if _same(row, other, allowed))
            if (i := next(near, None)) is not None:
                del left[i]
                count += 1
    return count


def _by_picture(found: Arrays) -> list[np.ndarray]:
    return np.split(found["rows"], np.cumsum(found["nums"])[:-1])


def _same(row: np.ndarray, other: np.ndarray, allowed: np.ndarray) -> bool:
    return row[0] == other[0] and bool((np.abs(row[1:] - other[1:]) <= allowed).all())
