from dataclasses import replace
from threading import Lock, get_ident
from time import sleep

import numpy as np
import pytest
from drawn_coco import annotation_file, write_dataset

from picodet.config import Padding, Preprocessing
from picodet.data.coco import ImageInfo, read_annotations
from picodet.data.preprocess import preprocess, read_image
from picodet.errors import ImageError, PicoDetError
from picodet.evaluation.inference_loop import PREFETCH, BatchDetector, detect_batches, make_batches
from picodet.evaluation.settings import EvalSettings, InputSettings
from picodet.inference.backend import ModelSpec
from picodet.ops.layout import LayoutSettings
from picodet.ops.postprocess import Candidates, Detections, Postprocessing

PREPROCESSING = Preprocessing((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), 1)
SPEC = ModelSpec("made up", "boxes", (64, 96), PREPROCESSING, ("a", "b"), 2)


class Network:
    """A network with a fixed answer that records its calls."""

    spec = SPEC

    def __init__(self, answer):
        self.answer, self.calls = answer, []

    def __call__(self, fed):
        self.calls.append(fed)
        return [self.answer] * len(fed.images)


CANDIDATES = Candidates(  # IoU 0.7; the second reaches beyond the input of 64 x 96
    np.array([[0, 0, 32, 32], [-8, -6.4, 104, 38.4], [0, 0, 32, 22.4]], np.float32),
    np.array([[0.9, 0.02, 0.5], [0.1, 0.8, 0]], np.float32),
)
DETECTIONS = Detections(
    np.array([[1, 2, 4, 8], [0.1, 0, 0.3, 1]], np.float32),
    np.array([0.9, 0.2], np.float32),
    np.array([0, 1]),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drawn"), 4)


@pytest.fixture(scope="module")
def images(dataset):
    return read_annotations(annotation_file(dataset)).images


@pytest.fixture
def work(dataset):
    def make_detector(answer, *settings, ids=(70, 30)):
        return BatchDetector(Network(answer), dataset / "val2017", settings, ids)

    return make_detector


LINEAR, CUBIC = InputSettings(1), InputSettings(2)


def test_rows_are_in_cocos_terms(work, images):
    """The sides of a box are computed from its corners without rounding to float32."""
    (rows,) = work(DETECTIONS, EvalSettings(LINEAR))(images[:1])
    corners = DETECTIONS.boxes[1].astype(float)
    assert rows.dtype == np.float64
    assert rows[0].tolist() == [images[0].id, 70, float(np.float32(0.9)), 1, 2, 3, 6]
    assert rows[1, 1] == 30
    assert rows[1, 5] == corners[2] - corners[0] != np.float32(corners[2] - corners[0])


def test_classes_that_do_not_count(work, images):
    (rows,) = work(DETECTIONS, EvalSettings(LINEAR), ids=(None, 30))(images[:1])
    assert rows[:, 1].tolist() == [30]
    (rows,) = work(DETECTIONS, EvalSettings(LINEAR), ids=(None, None))(images[:1])
    assert rows.shape == (0, 7)


def test_a_batch_goes_through_the_network_together(work, images, dataset):
    detector = work(DETECTIONS, EvalSettings(LINEAR))
    (rows,) = detector(images[:3])
    assert rows[:, 0].tolist() == [p.id for p in images[:3] for _ in range(2)]
    (fed,) = detector.network.calls
    for i, info in enumerate(images[:3]):
        image = read_image(dataset / "val2017" / info.file)
        expected, factor = preprocess(image, (64, 96), PREPROCESSING)
        assert np.array_equal(fed.images[i], expected)
        assert np.array_equal(fed.scale_factors[i], factor)


def test_images_that_are_padded_to_other_sizes_go_through_one_by_one(work, images):
    """Sizes are 96 x 128, 160 x 120 and 64 x 64; the scale is one for both sides."""
    detector = work(CANDIDATES, EvalSettings(LINEAR))
    padding = Padding((64, 96), keep_ratio=True, stride=32)
    numbers = replace(PREPROCESSING, padding=padding)
    detector.network.spec = replace(SPEC, preprocessing=numbers)
    (rows,) = detector(images[:3])
    shapes = [fed.images.shape for fed in detector.network.calls]
    assert len(set(shapes)) > 1
    for fed in detector.network.calls:
        assert fed.images.shape[0] == 1
        assert fed.scale_factors[0, 0] == fed.scale_factors[0, 1]
    assert set(rows[:, 0].tolist()) == {image.id for image in images[:3]}


def test_equal_inputs_go_through_the_network_once(work, images):
    """Settings that differ only in what follows share the network's answer."""
    others = [EvalSettings(LINEAR, Postprocessing(score_threshold=s)) for s in (0.01, 0.3)]
    detector = work(CANDIDATES, EvalSettings(LINEAR), EvalSettings(CUBIC), *others)
    rows = detector(images[:1])
    assert len(detector.network.calls) == 2
    first, second = detector.network.calls
    assert not np.array_equal(first.images, second.images)
    assert [len(of_setting) for of_setting in rows] == [3, 3, 4, 2]


def test_post_processing_goes_through(work, images):
    def rows(**settings):
        return work(CANDIDATES, EvalSettings(LINEAR, Postprocessing(**settings)))(images[:1])[0]

    assert rows()[:, 2].tolist() == pytest.approx([0.9, 0.8, 0.1])
    assert rows(iou_threshold=0.75)[:, 2].tolist() == pytest.approx([0.9, 0.5, 0.8, 0.1])
    assert rows(score_threshold=0.85)[:, 2].tolist() == pytest.approx([0.9])
    info = images[0]
    beyond = rows()[1, 3:]
    assert beyond[0] == pytest.approx(-8 * info.size[1] / 96)
    assert beyond[1] == pytest.approx(-6.4 * info.size[0] / 64)


def test_boxes_are_clipped_as_in_2_3(work, images):
    """Input 64 x 96; all candidates are on the finest level, of 96 anchor points."""
    many = Candidates(np.zeros((128, 4), np.float32), np.zeros((2, 128), np.float32))
    many.boxes[:3], many.scores[:, :3] = CANDIDATES.boxes, CANDIDATES.scores
    detector = work(many, EvalSettings(LINEAR, Postprocessing(semantics="ppdet-2.3")))
    (rows,) = detector(images[:1])
    height, width = images[0].size
    assert rows[1, 3:].tolist() == pytest.approx([0, 0, width, 38.4 / 64 * height])


def test_paddlexs_layout_comes_after_the_detections_on_the_images_size(work, images):
    """Each image has a size of its own, to which regions are clipped."""
    layout = LayoutSettings(("a", "b"), (0.95, 0.5))
    detector = work(CANDIDATES, EvalSettings(LINEAR, Postprocessing(layout=layout)))
    (rows,) = detector(images[:2])
    assert rows[:, 0].tolist() == [image.id for image in images[:2]]
    for row, image in zip(rows, images, strict=False):
        height, width = image.size
        assert row[3:].tolist() == pytest.approx([0, 0, width, 38.4 / 64 * height])
    (rows,) = work(DETECTIONS, EvalSettings(LINEAR, Postprocessing(layout=layout)))(images[:1])
    assert not len(rows)


def test_of_files_with_nms_only_the_threshold_can_be_raised(work, images):
    above = EvalSettings(LINEAR, Postprocessing(score_threshold=0.2))
    rows, fewer = work(DETECTIONS, EvalSettings(LINEAR), above)(images[:1])
    assert rows[:, 2].tolist() == pytest.approx([0.9, 0.2])
    assert fewer[:, 2].tolist() == pytest.approx([0.9])  # 0.2 is not greater


def test_a_class_without_category_is_an_error(work, images):
    with pytest.raises(PicoDetError, match=r"class 1, counted from 0; .* have 1 categories"):
        work(DETECTIONS, EvalSettings(LINEAR), ids=(70,))(images[:1])


def test_nothing_found_has_rows_too(work, images):
    nothing = Detections(np.empty((0, 4)), np.empty(0), np.empty(0, np.int64))
    assert work(nothing, EvalSettings(LINEAR))(images[:2])[0].shape == (0, 7)


def test_batches_hold_every_image_once():
    images = [ImageInfo(i, f"{i}.png", (1, 1)) for i in range(7)]
    assert [len(batch) for batch in make_batches(images, 3)] == [3, 3, 1]
    assert [info for batch in make_batches(images, 3) for info in batch] == images
    assert make_batches([], 3) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_come_in_order(threads):
    """Whichever is ready first; and from as many threads as were asked for, at most."""
    seen = set()

    def detect(batch):
        seen.add(get_ident())
        sum(range(10_000 * (5 - batch[0] % 5)))
        return [np.full((1, 7), batch[0])]

    found = list(detect_batches(detect, [[i] for i in range(40)], threads))
    assert [batch for batch, _ in found] == [[i] for i in range(40)]
    assert [rows[0][0, 0] for _, rows in found] == list(range(40))
    assert len(seen) <= threads


def test_few_batches_are_queued():
    """Memory does not grow with the dataset; what nobody takes is not begun."""
    lock, begun = Lock(), []

    def detect(batch):
        with lock:
            begun.append(batch[0])
        return []

    outcomes = detect_batches(detect, [[i] for i in range(100)], threads=2)
    for _ in range(3):
        next(outcomes)
    sleep(0.1)  # what may begin has begun
    outcomes.close()
    assert len(begun) <= 3 + 2 * PREFETCH


def test_an_error_is_raised_at_its_batch():
    def detect(batch):
        if batch[0] == 5:
            raise ImageError("no image")
        return batch

    outcomes = detect_batches(detect, [[i] for i in range(20)], threads=3)
    assert [next(outcomes)[0][0] for _ in range(5)] == list(range(5))
    with pytest.raises(ImageError, match="no image"):
        next(outcomes)
    assert list(outcomes) == []


def test_nothing_to_do():
    assert list(detect_batches(len, [], threads=2)) == []
