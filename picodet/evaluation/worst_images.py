"""The images with the most errors, and their errors."""

from dataclasses import dataclass

import numpy as np

from picodet.evaluation.matching import Matching

AT_IOU_50 = 0  # the first of metrics.IOUS


@dataclass(frozen=True)
class ImageErrors:
    """True positives, false positives and false negatives of one image at IoU 0.5."""

    image: int  # index into the images of the annotations
    true_positives: np.ndarray  # rows of the predictions, best score first
    false_positives: np.ndarray  # likewise
    false_negatives: np.ndarray  # rows of the ground truth

    @property
    def num_errors(self) -> int:
        return len(self.false_positives) + len(self.false_negatives)


def rank_worst_images(
    matching: Matching, min_score: float = 0.3, count: int = 12
) -> tuple[ImageErrors, ...]:
    """The images with the most false positives and negatives, of detections from this score on.

    At most `count`; images without errors are left out.
    """
    confident = matching.scores >= min_score
    true_positive, false_positive = (
        matching.true_positive[AT_IOU_50] & confident,
        matching.false_positive[AT_IOU_50] & confident,
    )
    false_negative = matching.gt_counted.copy()
    false_negative[matching.matched_gt[AT_IOU_50, true_positive]] = False
    num_errors = np.bincount(matching.images[false_positive], minlength=matching.num_images)
    num_errors += np.bincount(matching.gt_images[false_negative], minlength=matching.num_images)
    worst = np.argsort(-num_errors, kind="stable")[:count]
    by_score = np.argsort(-matching.scores, kind="stable")

    def rows(chosen: np.ndarray, image: int) -> np.ndarray:
        mask = chosen & (matching.images == image)
        return matching.rows[by_score[mask[by_score]]]

    return tuple(
        ImageErrors(
            int(image),
            rows(true_positive, image),
            rows(false_positive, image),
            np.flatnonzero(false_negative & (matching.gt_images == image)),
        )
        for image in worst
        if num_errors[image]
    )
