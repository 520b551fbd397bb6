"""Small datasets with everything that COCO's rules speak of, made by hypothesis."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from picodet.data.coco import Annotations, Category, Picture, Truths
from picodet.evaluation.detections import Results

PICTURES, CATEGORIES = 4, 3


def annotations(truths, pictures=PICTURES, categories=CATEGORIES):
    """Rows of (picture, category, box, area, crowd), both counted from 0."""
    return Annotations(
        Path("made.json"),
        tuple(Picture(10 * i + 3, f"{i}.jpg", (300, 300)) for i in range(pictures)),
        tuple(Category(7 * i + 2, "abc"[i]) for i in range(categories)),
        Truths(
            ids=np.arange(len(truths)) + 1,
            picture_ids=np.array([10 * row[0] + 3 for row in truths], np.int64),
            category_ids=np.array([7 * row[1] + 2 for row in truths], np.int64),
            boxes=np.array([row[2] for row in truths], float).reshape(-1, 4),
            areas=np.array([row[3] for row in truths], float),
            crowds=np.array([row[4] for row in truths], bool),
        ),
    )


def results(detections):
    """Rows of (picture, category, box, score)."""
    return Results(
        picture_ids=np.array([10 * row[0] + 3 for row in detections], np.int64),
        category_ids=np.array([7 * row[1] + 2 for row in detections], np.int64),
        boxes=np.array([row[2] for row in detections], float).reshape(-1, 4),
        scores=np.array([row[3] for row in detections], float),
    )


def apart(found: Results) -> Results:
    """Scores that are equal between pictures, never within one."""
    step = np.zeros(len(found))
    for row in range(len(found)):
        same = found.picture_ids[:row] == found.picture_ids[row]
        step[row] = np.count_nonzero(same) * 1e-3
    return Results(found.picture_ids, found.category_ids, found.boxes, found.scores + step)


_scores = st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9])  # few, so that many are equal
_places = st.tuples(st.integers(0, PICTURES - 1), st.integers(0, CATEGORIES - 1))
_pixels = st.integers(0, 6)


@st.composite
def datasets(draw):
    """Annotations and results: ties, crowds, empty pictures and classes, boxes without area, ...

    ... more than 100 detections of a picture, objects of all sizes and beyond them.
    """
    scale = draw(st.sampled_from([1, 10, 30, 3e4]))  # small, medium, large, larger than "all"
    box = st.tuples(_pixels, _pixels, _pixels, _pixels)
    truths = []
    for place, sides, part, crowd in draw(
        st.lists(
            st.tuples(_places, box, st.sampled_from([1, 0.5]), st.sampled_from([0, 0, 0, 1])),
            max_size=10,
        )
    ):
        truths.append(
            (*place, np.array(sides) * scale, sides[2] * sides[3] * part * scale**2, crowd)
        )
    detections = [
        (*place, np.array(sides) * scale, score)
        for place, sides, score in draw(st.lists(st.tuples(_places, box, _scores), max_size=10))
    ]
    if truths:  # near a true box, or on it
        near = st.tuples(st.integers(0, len(truths) - 1), st.sampled_from([0, 0, 0.3, -1]), _scores)
        for which, shift, score in draw(st.lists(near, max_size=15)):
            picture, category, sides = truths[which][:3]
            moved = sides + np.array([shift, 0, 0, -shift]) * scale
            detections.append((picture, category, moved, score))
    copies = draw(st.sampled_from([1, 1, 1, 1, 15]))
    return annotations(truths), results(detections * copies)
