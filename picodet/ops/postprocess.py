"""ppdet's post-processing: boxes and scores of a network -> detections in pixels of the image."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from picodet.config import NMSSettings, feature_map_sizes
from picodet.errors import PicoDetError
from picodet.ops.layout import LayoutSettings, layout_regions
from picodet.ops.nms import multiclass_nms

Semantics = Literal["ppdet-2.3", "ppdet-2.4"]
NMS_PRE = 1000  # anchor points per level that ppdet 2.3 keeps (nms_pre of its configs)


@dataclass(frozen=True)
class Postprocessing:
    """Settings of the post-processing; the defaults are those of ppdet's PicoDet configs.

    "ppdet-2.3" is what the AP of the 2021 models was published with: of each level only the best
    1,000 anchor points are kept, and boxes are clipped to the image (release/2.3,
    ppdet/modeling/heads/gfl_head.py, `get_bboxes_single`). From 2.4 on neither is done.
    """

    score_threshold: float = 0.025  # candidates have a greater score
    iou_threshold: float = 0.6  # a greater IoU suppresses
    semantics: Semantics = "ppdet-2.4"
    top_k: int = 1000  # candidates of each class, the best (nms_top_k)
    keep_top_k: int = 100  # detections of all classes, the best
    layout: LayoutSettings | None = None  # PaddleX's post-processing of layouts after it

    def __post_init__(self) -> None:
        for name in ("score_threshold", "iou_threshold"):
            if not 0 <= (number := getattr(self, name)) <= 1:  # refuses NaN too
                raise PicoDetError(f"{name}: {number}; a number from 0 to 1 is expected")


@dataclass(frozen=True)
class PostprocessingOptions:
    """What a user asks for; None is what the model's settings state, else ppdet's default."""

    score_threshold: float | None = None
    iou_threshold: float | None = None
    semantics: Semantics = "ppdet-2.4"

    def resolve(self, stated: NMSSettings | None) -> Postprocessing:
        """The post-processing of a model; stated: the NMS in its settings.

        Raises PicoDetError for a threshold that is not from 0 to 1.
        """
        numbers = stated or NMSSettings()
        score, iou = self.score_threshold, self.iou_threshold
        return Postprocessing(
            numbers.score_threshold if score is None else score,
            numbers.iou_threshold if iou is None else iou,
            self.semantics,
            numbers.top_k,
            numbers.keep_top_k,
        )


@dataclass(frozen=True)
class Candidates:
    """Decoded outputs of one image: all anchor points, level after level, row after row."""

    boxes: np.ndarray  # [A, 4] xyxy, pixels of the network's input
    scores: np.ndarray  # [C, A]


@dataclass(frozen=True)
class Detections:
    """The detections of one image in ppdet's order: class by class, best score first."""

    boxes: np.ndarray  # [N, 4] xyxy, pixels of the image; may reach beyond its edges
    scores: np.ndarray  # [N]
    classes: np.ndarray  # [N] int64, indices into the model's classes

    def __len__(self) -> int:
        return len(self.boxes)

    def above(self, score: float) -> "Detections":
        """The detections with a score greater than `score`."""
        return self.select(self.scores > score)

    def select(self, rows: np.ndarray) -> "Detections":
        """The detections of these rows, [N] bool."""
        return Detections(self.boxes[rows], self.scores[rows], self.classes[rows])


def postprocess(
    candidates: Candidates,
    scale_factor: np.ndarray,
    input_size: tuple[int, int],
    settings: Postprocessing,
) -> Detections:
    """Detections of one image from decoded candidates; input_size is (height, width)."""
    if settings.semantics == "ppdet-2.3":
        candidates = _top_k_and_clip(candidates, input_size)
    return apply_nms(
        candidates,
        scale_factor,
        settings.score_threshold,
        settings.iou_threshold,
        settings.top_k,
        settings.keep_top_k,
    )


def apply_nms(
    candidates: Candidates,
    scale_factor: np.ndarray,
    score_threshold: float = Postprocessing.score_threshold,
    iou_threshold: float = Postprocessing.iou_threshold,
    top_k: int = Postprocessing.top_k,
    keep_top_k: int = Postprocessing.keep_top_k,
) -> Detections:
    """Scale the boxes of one image to its pixels and run NMS.

    scale_factor [2] (y, x): size of the network's input over that of the image. Boxes are scaled
    before NMS and not clipped (pico_head.py:418-440).
    """
    y, x = scale_factor
    in_image = candidates.boxes / np.array([x, y, x, y], dtype=scale_factor.dtype)
    scores = candidates.scores
    classes, indices = multiclass_nms(
        in_image, scores, score_threshold, iou_threshold, top_k, keep_top_k
    )
    return Detections(in_image[indices], scores[classes, indices], classes)


def apply_layout(
    detections: Detections, page_size: tuple[int, int], settings: LayoutSettings
) -> Detections:
    """The regions of a page of (height, width), see picodet.ops.layout."""
    found = detections.boxes, detections.scores, detections.classes
    return Detections(*layout_regions(*found, page_size, settings))


def _top_k_and_clip(candidates: Candidates, input_size: tuple[int, int]) -> Candidates:
    """The NMS_PRE best anchor points per level, with boxes clipped to the input.

    Of equal scores at the cut the first anchor points stay; ppdet's order is undefined there.
    """
    kept, start = [], 0
    best = candidates.scores.max(axis=0)
    for height, width in feature_map_sizes(input_size):
        level = best[start : start + height * width]
        kept.append(start + np.sort(np.argsort(-level, kind="stable")[:NMS_PRE]))
        start += height * width
    indices = np.concatenate(kept)
    height, width = input_size
    limits = np.array([width, height, width, height], candidates.boxes.dtype)
    return Candidates(candidates.boxes[indices].clip(0, limits), candidates.scores[:, indices])
