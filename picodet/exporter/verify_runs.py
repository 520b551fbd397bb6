"""Runs an exported file: its outputs, and the exact values expected of some of them."""

from pathlib import Path

import numpy as np
import onnx

from picodet.exporter import ort
from picodet.exporter.model_proto import IMAGE, SCALE_FACTOR
from picodet.exporter.options import ExportOptions
from picodet.exporter.verify_inputs import VerifyInputs
from picodet.ops.postprocess import Candidates, apply_nms

Arrays = dict[str, np.ndarray]  # by output name


class RawRun:
    """A file without NMS: all outputs are compared with torch."""

    def __init__(self, path: Path) -> None:
        self.session = ort.create_session(path)

    def run(self, inputs: VerifyInputs) -> tuple[Arrays, Arrays]:
        """The outputs; and, as none is known exactly, an empty dictionary."""
        return ort.run(self.session, _feed(inputs)), {}


class DetectionRun:
    """A file with NMS, and a copy of it that also outputs the NMS's inputs.

    The NMS's inputs are compared with torch within the noise, and its outputs with picodet's NMS
    of these inputs, bit for bit: no exceptions are needed for boxes at a threshold.
    """

    def __init__(self, path: Path, options: ExportOptions) -> None:
        self.session, self.options = ort.create_session(path), options
        opened = onnx.load(path)
        known = {value.name: value for value in opened.graph.value_info}
        opened.graph.output.extend(known[name] for name in ("boxes", "scores"))
        self.inside = ort.create_session(opened.SerializeToString())

    def run(self, inputs: VerifyInputs) -> tuple[Arrays, Arrays]:
        """Outputs and the NMS's inputs, and the exact outputs expected for these."""
        outputs = ort.run(self.session, _feed(inputs))
        values = ort.run(self.inside, _feed(inputs))
        nms_inputs = {name: values[name] for name in ("boxes", "scores")}
        return outputs | nms_inputs, self.expected_detections(nms_inputs, inputs)

    def expected_detections(self, nms_inputs: Arrays, inputs: VerifyInputs) -> Arrays:
        """picodet's NMS of boxes [B, A, 4] and scores [B, C, A]: rows [N, 6] and nums [B]."""
        options, factors = self.options, inputs.scale_factors
        if options.single_input:
            factors = np.ones_like(factors)
        found = [
            apply_nms(Candidates(*pair), factor, options.score_threshold, options.iou_threshold)
            for *pair, factor in zip(
                nms_inputs["boxes"], nms_inputs["scores"], factors, strict=True
            )
        ]
        rows = [np.column_stack([each.classes, each.scores, each.boxes]) for each in found]
        nums = np.array([len(each) for each in found], np.int32)
        return {"rows": np.concatenate(rows).astype(np.float32), "nums": nums}


def _feed(inputs: VerifyInputs) -> dict[str, np.ndarray]:
    return {IMAGE: inputs.images, SCALE_FACTOR: inputs.scale_factors}


def count_shared_rows(ours: Arrays, theirs: Arrays, allowed: np.ndarray) -> int:
    """The number of rows of `theirs` that `ours` has too, one to one.

    Rows match with the same class, and score and coordinates within `allowed` [5].
    """
    count = 0
    for our_rows, their_rows in zip(*map(_split_by_image, (ours, theirs)), strict=True):
        remaining = list(our_rows)
        for row in their_rows:
            near = (i for i, other in enumerate(remaining) if _rows_match(row, other, allowed))
            if (i := next(near, None)) is not None:
                del remaining[i]
                count += 1
    return count


def _split_by_image(found: Arrays) -> list[np.ndarray]:
    return np.split(found["rows"], np.cumsum(found["nums"])[:-1])


def _rows_match(row: np.ndarray, other: np.ndarray, allowed: np.ndarray) -> bool:
    return row[0] == other[0] and bool((np.abs(row[1:] - other[1:]) <= allowed).all())
