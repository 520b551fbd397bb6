import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from picodet.config import Preprocessing
from picodet.errors import PicoDetError
from picodet.inference.backend import ModelSpec
from picodet.inference.layout_options import FILE_KEYS, LayoutOptions
from picodet.ops.layout import LayoutSettings, layout_regions

GOLDEN = Path(__file__).parents[1] / "golden" / "layout.npz"
NAMES = ("text", "image", "formula")
TEXT, IMAGE, FORMULA = range(3)
PAGE = (100, 100)


def settings(names=NAMES, **options):
    return LayoutOptions(**options).for_model(
        ModelSpec("page.pth", "boxes", (64, 64), Preprocessing(), names, len(names))
    )


def regions(*rows, page=PAGE, names=NAMES, **options):
    """rows: class, score, xyxy -> rows of the same form."""
    array = np.array(rows, np.float32).reshape(-1, 6)
    boxes, scores, classes = layout_regions(
        array[:, 2:], array[:, 1], array[:, 0].astype(np.int64), page, settings(names, **options)
    )
    return np.column_stack([classes, scores, boxes])


def scores_of(*rows, **options):
    return regions(*rows, **options)[:, 1].round(4).tolist()


def golden_pages():
    with np.load(GOLDEN) as content:
        described = json.loads(content["pages"].tobytes())
        rows = np.split(content["rows"], np.cumsum(content["counts"])[:-1])
        found = np.split(content["found"], np.cumsum(content["found_counts"])[:-1])
    return list(zip(described, rows, found, strict=True))


def test_keeps_what_paddlex_keeps_box_by_box():
    """150 drawn pages: nested, equal, empty boxes; all modes of merging, thresholds by class."""
    pages = golden_pages()
    assert (len(pages), sum(len(found) for *_, found in pages)) == (150, 780)
    for number, ((names, (width, height), arguments), rows, expected) in enumerate(pages):
        options = {FILE_KEYS[key]: value for key, value in arguments.items() if value is not None}
        found = regions(*rows, page=(height, width), names=tuple(names), **options)
        assert np.array_equal(found, expected), number


def test_a_region_has_a_score_above_the_threshold_of_its_class():
    rows = [(TEXT, 0.5, 0, 0, 9, 9), (TEXT, 0.51, 0, 0, 9, 9), (IMAGE, 0.4, 20, 0, 29, 9)]
    assert scores_of(*rows) == [0.51]
    assert scores_of(*rows, threshold=0.45) == [0.5, 0.51]
    assert scores_of(*rows, threshold={"text": 0.505, "image": 0.3}) == [0.51, 0.4]
    assert scores_of(*rows, threshold={1: 0.3}) == [0.51, 0.4]  # text has the usual one
    assert scores_of(*rows, threshold={"*": 0.3, "text": 0.9}) == [0.4]


def test_nms_has_one_threshold_within_a_class_and_another_between():
    """IoU with sides a pixel longer: 60 / 100 of boxes of 10 x 10 and 6 x 10."""
    outer, inner = (0, 0, 9, 9), (0, 0, 5, 9)
    assert scores_of((TEXT, 0.9, *outer), (TEXT, 0.8, *inner)) == [0.9, 0.8]
    assert scores_of((TEXT, 0.9, *outer), (TEXT, 0.8, *inner), nms=True) == [0.9]
    assert scores_of((TEXT, 0.9, *outer), (FORMULA, 0.8, *inner), nms=True) == [0.9, 0.8]
    assert scores_of((TEXT, 0.7, *outer), (FORMULA, 0.8, *outer), nms=True) == [0.8]
    almost = (0, 0, 4.99, 9)  # 0.599
    assert scores_of((TEXT, 0.9, *outer), (TEXT, 0.8, *almost), nms=True) == [0.9, 0.8]


def test_of_equal_scores_the_later_is_the_better():
    rows = [(TEXT, 0.9, 0, 0, 9, 9), (TEXT, 0.9, 1, 0, 10, 9)]
    assert regions(*rows, nms=True)[:, 2].tolist() == [1]


def test_an_image_of_the_whole_page_goes_unless_nothing_else_remains():
    text, image = (TEXT, 0.9, 10, 10, 20, 20), (IMAGE, 0.8, 0, 0, 100, 93.5)
    assert scores_of(text, image) == [0.9]
    assert scores_of(text, (IMAGE, 0.8, 0, 0, 100, 93)) == [0.9, 0.8]
    assert scores_of(text, (IMAGE, 0.8, 0, 0, 200, 83), page=(100, 200)) == [0.9]  # landscape
    assert scores_of(text, (IMAGE, 0.8, -40, 0, 60, 100)) == [0.9, 0.8]  # 0.6 are on the page
    assert scores_of(image) == [0.8]
    assert scores_of(image, (IMAGE, 0.7, -5, -5, 105, 105)) == [0.8, 0.7]
    assert scores_of(text, image, names=("text", "figure", "formula")) == [0.9, 0.8]


OUTER, INNER = (TEXT, 0.9, 0, 0, 50, 50), (IMAGE, 0.8, 10, 10, 20, 20)


@pytest.mark.parametrize(
    ("merge", "kept"),
    [
        ("union", [0.9, 0.8]),
        ("large", [0.9]),
        ("small", [0.8]),
        ({"text": "large"}, [0.9]),  # what lies in a text goes
        ({"image": "large"}, [0.9, 0.8]),
        ({"image": "small"}, [0.8]),  # what an image lies in goes
        ({"text": "small"}, [0.9, 0.8]),
    ],
)
def test_merging_nested_regions(merge, kept):
    assert scores_of(OUTER, INNER, merge=merge) == kept


def test_of_three_nested_regions_small_keeps_the_two_inner_ones():
    rows = [OUTER, (TEXT, 0.7, 5, 5, 40, 40), INNER]
    assert scores_of(*rows, merge="small") == [0.7, 0.8]
    assert scores_of(*rows, merge="large") == [0.9]


def test_a_region_lies_in_another_from_nine_tenths_of_its_area_on():
    assert scores_of(OUTER, (IMAGE, 0.8, 41, 0, 51, 10), merge="large") == [0.9]
    assert scores_of(OUTER, (IMAGE, 0.8, 42, 0, 52, 10), merge="large") == [0.9, 0.8]


def test_a_formula_lies_only_in_formulas():
    formula = (FORMULA, 0.8, 10, 10, 20, 20)
    assert scores_of(OUTER, formula, merge="large") == [0.9, 0.8]
    assert scores_of((FORMULA, 0.9, *OUTER[2:]), formula, merge="large") == [0.9]
    assert scores_of(OUTER, formula, merge="large", names=("a", "b", "c")) == [0.9]


def test_unclipping_is_about_the_center_and_then_clipped():
    box = (TEXT, 0.9, 40, 40, 60, 80)
    assert regions(box, unclip=2)[0, 2:].tolist() == [30, 20, 70, 100]
    assert regions(box, unclip=(2, 0.5))[0, 2:].tolist() == [30, 50, 70, 70]
    assert regions(box, unclip={"image": 2})[0, 2:].tolist() == [40, 40, 60, 80]
    assert regions(box, unclip={"text": 2})[0, 2:].tolist() == [30, 20, 70, 100]


def test_regions_are_clipped_and_those_without_area_go():
    rows = [
        (TEXT, 0.9, -5, -5, 105, 50.25),
        (TEXT, 0.8, 20, 20, 20, 40),
        (TEXT, 0.7, 100, 0, 120, 9),
    ]
    assert regions(*rows)[:, 2:].tolist() == [[0, 0, 100, 50.25]]


@pytest.mark.parametrize("options", [{}, {"nms": True, "unclip": 1.1, "merge": "small"}])
def test_nothing_gives_nothing(options):
    assert regions(**options).shape == (0, 6)
    assert regions((TEXT, 0.1, 0, 0, 9, 9), **options).shape == (0, 6)


def test_one_class_is_enough():
    assert regions((0, 0.9, 0, 0, 9, 9), names=("table",), nms=True, merge={0: "large"}).shape == (
        *(1, 6),
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((3, 0.9, 0, 0, 9, 9), "found class 3, counted from 0; it names 3 classes"),
        ((-1, 0.9, 0, 0, 9, 9), "found class -1"),
        ((0, np.nan, 0, 0, 9, 9), "NaN or Inf"),
        ((0, 0.9, 0, 0, np.inf, 9), "NaN or Inf"),
    ],
)
def test_what_cannot_be_is_an_error(row, message):
    with pytest.raises(PicoDetError, match=message):
        regions(row)


def test_shapes_must_fit():
    with pytest.raises(PicoDetError, match=r"boxes \(2, 4\), scores \(1,\)"):
        layout_regions(np.zeros((2, 4)), np.zeros(1), np.zeros(1, int), PAGE, settings())


def test_describe():
    assert settings().describe() == "threshold 0.5, NMS off, unclip none, merge union"
    named = settings(
        threshold={"text": 0.4}, nms=True, unclip={"image": (1, 2)}, merge={"formula": "large"}
    )
    assert named.describe() == (
        "threshold 0.5 (text 0.4), NMS on, unclip none (image 1x2), merge union (formula large)"
    )
    assert settings(unclip=1.5, merge="small").describe().endswith("unclip 1.5x1.5, merge small")


ROWS = st.integers(0, 12).flatmap(
    lambda count: st.tuples(
        arrays(np.float32, (count, 4), elements=st.integers(-20, 120).map(float)),
        arrays(np.float32, count, elements=st.sampled_from([0.2, 0.5, 0.6, 0.9])),
        arrays(np.int64, count, elements=st.integers(0, 2)),
    )
)
MODES = st.sampled_from(["union", "large", "small"])


@given(
    ROWS,
    st.booleans(),
    st.sampled_from([None, 0.5, 1.2]),
    st.one_of(MODES, st.tuples(*[MODES] * 3)),
)
def test_regions_are_detections_inside_the_page(rows, nms, unclip, merge):
    boxes, scores, classes = rows
    boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + abs(boxes[:, 2:])], axis=1)
    merge = merge if isinstance(merge, str) else dict(zip(NAMES, merge, strict=True))
    used = settings(nms=nms, unclip=unclip, merge=merge, threshold=0.3)
    found, kept_scores, kept_classes = layout_regions(boxes, scores, classes, PAGE, used)
    assert (found >= 0).all()
    assert (found <= 100).all()
    assert (found[:, 2:] > found[:, :2]).all()
    assert (kept_scores > 0.3).all()
    assert len(found) <= len(boxes)
    if nms:
        assert (np.diff(kept_scores) <= 0).all()
    else:
        assert (np.diff(kept_classes) >= 0).all()


@given(ROWS)
def test_nms_a_second_time_changes_nothing(rows):
    boxes, scores, classes = rows
    used = LayoutSettings(("a", "b", "c"), (0.3,) * 3, nms=True)
    once = layout_regions(boxes + 20, scores, classes, (1000, 1000), used)  # nothing is clipped
    again = layout_regions(*once, (1000, 1000), used)
    assert sorted(map(tuple, once[0].tolist())) == sorted(map(tuple, again[0].tolist()))
