import json

import numpy as np
import pytest
from drawn_coco import annotation_file
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_datasets import make_predictions

from picodet.data.coco import read_annotations
from picodet.errors import PicoDetError
from picodet.evaluation.detections import (
    Predictions,
    describe_coverage,
    predictions_from_rows,
    read_predictions,
    write_predictions,
)

finite = st.floats(-1e15, 1e15)
ids = st.integers(1 - 2**53, 2**53 - 1)
rows = st.integers(0, 5)


@given(st.data(), rows)
def test_what_is_written_is_read_back_bit_for_bit(tmp_path_factory, data, count):
    path = tmp_path_factory.mktemp("results") / "r.json"
    columns = Predictions(
        data.draw(arrays(np.int64, count, elements=ids)),
        data.draw(arrays(np.int64, count, elements=ids)),
        data.draw(arrays(np.float64, (count, 4), elements=finite)),
        data.draw(arrays(np.float64, count, elements=finite)),
    )
    write_predictions(path, columns)
    read = read_predictions(path)
    for name in ("image_ids", "category_ids", "boxes", "scores"):
        assert getattr(read, name).dtype == getattr(columns, name).dtype
        assert getattr(read, name).tobytes() == getattr(columns, name).tobytes()


def test_the_format_is_cocos(tmp_path):
    path = tmp_path / "r.json"
    write_predictions(
        path, make_predictions([(0, 1, (1, 2.5, 3, 4), 0.1), (1, 0, (0, 0, 1, 1), 1)])
    )
    assert json.loads(path.read_text()) == [
        {"image_id": 3, "category_id": 9, "bbox": [1, 2.5, 3, 4], "score": 0.1},
        {"image_id": 13, "category_id": 2, "bbox": [0, 0, 1, 1], "score": 1},
    ]


def test_many_rows(tmp_path):
    many = make_predictions([(i % 4, 0, (i, 0, 1, 1), 0.5) for i in range(20_001)])
    write_predictions(tmp_path / "r.json", many)
    assert np.array_equal(read_predictions(tmp_path / "r.json").boxes, many.boxes)


def test_whole_numbers_may_be_written_as_floats(tmp_path):
    path = tmp_path / "r.json"
    path.write_text('[{"image_id": 139.0, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]')
    assert read_predictions(path).image_ids.tolist() == [139]


def test_what_is_no_number_is_not_written(tmp_path):
    path = tmp_path / "r.json"
    path.write_text("before")
    broken = make_predictions([(0, 1, (1, 2, 3, 4), 0.1), (1, 0, (0, 0, np.inf, 1), 1)])
    with pytest.raises(PicoDetError, match=r"1 of 2 .* first image 13, category 2: box \[0.0"):
        write_predictions(path, broken)
    assert path.read_text() == "before"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, r"r.json: detections: found \{\}; expected a list of objects"),
        ([[1, 2]], r"detections\[0\] is \[1, 2\]; an object like"),
        ([{"image_id": 1, "category_id": 1, "score": 1}], r"detections\[0\] has no bbox; it has"),
        (
            [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": "0.5"}],
            r"detections\[0\]: score is '0.5'; a number from",
        ),
        (
            [{"image_id": 1.5, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}],
            r"detections\[0\]: image_id is 1.5; an integer is expected",
        ),
    ],
)
def test_says_which_row_is_wrong(tmp_path, content, message):
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(PicoDetError, match=message):
        read_predictions(tmp_path / "r.json")


def test_of_some_images():
    found = make_predictions(
        [(0, 1, (1, 2, 3, 4), 0.1), (1, 0, (0, 0, 1, 1), 1), (0, 0, (0, 0, 1, 1), 1)]
    )
    some = found.select_images([3])
    assert some.image_ids.tolist() == [3, 3]
    assert some.category_ids.tolist() == [9, 2]


@pytest.mark.slow
def test_ppdets_files(shared):
    found = read_predictions(shared / "coco" / "ppdet_detections_interp2.json.gz")
    assert len(found) == 39_888
    assert len(read_predictions(shared / "coco" / "ppdet_detections_interp1.json.gz")) == 39_903


def test_images_without_a_detection_are_reported(tmp_path, shared_dataset):
    annotations = read_annotations(annotation_file(shared_dataset))
    rows = np.array([[image.id, 7, 0.5, 0, 0, 1, 1] for image in annotations.images], float)
    path = tmp_path / "results.json"
    assert describe_coverage(path, predictions_from_rows(rows), annotations) == ([], "")
    notes, caveat = describe_coverage(path, predictions_from_rows(rows[2:5]), annotations)
    assert caveat == "which covers 3 of 10 images"
    assert notes == [
        f"{path}: covers 3 of 10 images of {annotations.path}; the 7 others, 9.png first, have "
        "no detection and count as images without any"
    ]
