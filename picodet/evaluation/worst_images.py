"""Which pictures cost most, and what went wrong in them."""

from dataclasses import dataclass

import numpy as np

from picodet.evaluation.matching import Matching

AT_IOU_50 = 0  # the first of metrics.IOUS


@dataclass(frozen=True)
class PictureCost:
    """What was found, wrong and missed in one picture, at IoU 0.5."""

    picture: int  # index into the pictures of the annotations
    found: np.ndarray  # rows of the results, best score first
    wrong: np.ndarray  # likewise
    missed: np.ndarray  # rows of the truths

    @property
    def cost(self) -> int:
        return len(self.wrong) + len(self.missed)


def worst_pictures(
    matching: Matching, score_from: float = 0.3, count: int = 12
) -> tuple[PictureCost, ...]:
    """Those with most wrong and missed boxes, of detections with this score or a better one.

    Fewer than `count` where the others have none.
    """
    shown = matching.scores >= score_from
    found, wrong = matching.found[AT_IOU_50] & shown, matching.wrong[AT_IOU_50] & shown
    missed = matching.counted.copy()
    missed[matching.partners[AT_IOU_50, found]] = False
    costs = np.bincount(matching.pictures[wrong], minlength=matching.picture_count)
    costs += np.bincount(matching.truth_pictures[missed], minlength=matching.picture_count)
    worst = np.argsort(-costs, kind="stable")[:count]
    by_score = np.argsort(-matching.scores, kind="stable")

    def rows(chosen: np.ndarray, picture: int) -> np.ndarray:
        here = chosen & (matching.pictures == picture)
        return matching.rows[by_score[here[by_score]]]

    return tuple(
        PictureCost(
            int(picture),
            rows(found, picture),
            rows(wrong, picture),
            np.flatnonzero(missed & (matching.truth_pictures == picture)),
        )
        for picture in worst
        if costs[picture]
    )
