"""Small datasets with everything that COCO's rules speak of, made by hypothesis."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from picodet.data.coco import Annotations, Category, GroundTruthBoxes, ImageInfo
from picodet.evaluation.detections import Predictions

NUM_IMAGES, NUM_CATEGORIES = 4, 3


def make_annotations(ground_truth, num_images=NUM_IMAGES, num_categories=NUM_CATEGORIES):
    """Rows of (image, category, box, area, crowd), both counted from 0."""
    return Annotations(
        Path("made.json"),
        tuple(ImageInfo(10 * i + 3, f"{i}.jpg", (300, 300)) for i in range(num_images)),
        tuple(Category(7 * i + 2, "abc"[i]) for i in range(num_categories)),
        GroundTruthBoxes(
            ids=np.arange(len(ground_truth)) + 1,
            image_ids=np.array([10 * row[0] + 3 for row in ground_truth], np.int64),
            category_ids=np.array([7 * row[1] + 2 for row in ground_truth], np.int64),
            boxes=np.array([row[2] for row in ground_truth], float).reshape(-1, 4),
            areas=np.array([row[3] for row in ground_truth], float),
            crowds=np.array([row[4] for row in ground_truth], bool),
        ),
    )


def make_predictions(detections):
    """Rows of (image, category, box, score)."""
    return Predictions(
        image_ids=np.array([10 * row[0] + 3 for row in detections], np.int64),
        category_ids=np.array([7 * row[1] + 2 for row in detections], np.int64),
        boxes=np.array([row[2] for row in detections], float).reshape(-1, 4),
        scores=np.array([row[3] for row in detections], float),
    )


def distinct_scores(predictions: Predictions) -> Predictions:
    """Scores that are equal between images, never within one."""
    step = np.zeros(len(predictions))
    for row in range(len(predictions)):
        same = predictions.image_ids[:row] == predictions.image_ids[row]
        step[row] = np.count_nonzero(same) * 1e-3
    return Predictions(
        predictions.image_ids,
        predictions.category_ids,
        predictions.boxes,
        predictions.scores + step,
    )


_scores = st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9])  # few, so that many are equal
_positions = st.tuples(st.integers(0, NUM_IMAGES - 1), st.integers(0, NUM_CATEGORIES - 1))
_pixels = st.integers(0, 6)


@st.composite
def datasets(draw):
    """Annotations and results: ties, crowds, empty images and classes, boxes without area, ...

    ... more than 100 detections of an image, objects of all sizes and beyond them.
    """
    scale = draw(st.sampled_from([1, 10, 30, 3e4]))  # small, medium, large, larger than "all"
    box = st.tuples(_pixels, _pixels, _pixels, _pixels)
    ground_truth = []
    for position, sides, part, crowd in draw(
        st.lists(
            st.tuples(_positions, box, st.sampled_from([1, 0.5]), st.sampled_from([0, 0, 0, 1])),
            max_size=10,
        )
    ):
        ground_truth.append(
            (*position, np.array(sides) * scale, sides[2] * sides[3] * part * scale**2, crowd)
        )
    detections = [
        (*position, np.array(sides) * scale, score)
        for position, sides, score in draw(
            st.lists(st.tuples(_positions, box, _scores), max_size=10)
        )
    ]
    if ground_truth:  # near a true box, or on it
        near = st.tuples(
            st.integers(0, len(ground_truth) - 1), st.sampled_from([0, 0, 0.3, -1]), _scores
        )
        for index, shift, score in draw(st.lists(near, max_size=15)):
            image, category, sides = ground_truth[index][:3]
            moved = sides + np.array([shift, 0, 0, -shift]) * scale
            detections.append((image, category, moved, score))
    copies = draw(st.sampled_from([1, 1, 1, 1, 15]))
    return make_annotations(ground_truth), make_predictions(detections * copies)
