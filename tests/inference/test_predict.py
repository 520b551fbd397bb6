from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from tracing import SMALL, filled_model, seeded_checkpoint

import picodet
from picodet.data.preprocess import read_image
from picodet.data.resize_kernels import kernels_differ, use_kernels
from picodet.errors import ImageError, PicoDetError
from picodet.inference.torch_backend import TorchBackend
from picodet.ops.layout import layout_regions

CAT = Path(skimage.__file__).parent / "data" / "chelsea.png"


@pytest.fixture(scope="module")
def model():
    return filled_model(SMALL, seeded_checkpoint(SMALL))


def test_a_path_and_an_array_are_the_same_image(model):
    found = picodet.detect(model, str(CAT))
    again = picodet.detect(model, read_image(CAT))
    assert isinstance(found, picodet.Detections)
    assert len(found) == 100
    assert np.array_equal(found.boxes, again.boxes)
    assert np.array_equal(found.scores, again.scores)
    assert (np.diff(found.classes) >= 0).all()
    for label in range(3):
        assert (np.diff(found.scores[found.classes == label]) <= 0).all()


def test_the_threshold_only_removes_detections(model):
    best = np.sort(picodet.detect(model, CAT).scores)[-10:]
    found = picodet.detect(model, CAT, score_thr=float(best[0]))
    assert np.sort(found.scores).tolist() == best[1:].tolist()


def test_layout_adds_paddlexs_post_processing(model):
    """The small model's classes are a to c; its scores are small."""
    every = picodet.detect(model, CAT)
    options = picodet.LayoutOptions(threshold=0.0, nms=True, merge="large")
    settings = options.for_model(TorchBackend(model).spec)
    found = picodet.detect(model, CAT, layout=options)
    size = skimage.data.chelsea().shape[:2]
    expected = layout_regions(every.boxes, every.scores, every.classes, size, settings)
    assert 0 < len(found) < len(every)
    for array, other in zip((found.boxes, found.scores, found.classes), expected, strict=True):
        assert np.array_equal(array, other)
    assert not len(picodet.detect(model, CAT, layout=picodet.LayoutOptions(threshold=1.0)))
    with pytest.raises(PicoDetError, match="has no class 'page'"):
        picodet.detect(model, CAT, layout=picodet.LayoutOptions(threshold={"page": 0.5}))


def test_resize_is_the_models_own_or_the_requested_one(model):
    portable = replace(SMALL, preprocessing=replace(SMALL.preprocessing, resize="portable"))
    own = picodet.detect(filled_model(portable, seeded_checkpoint(SMALL)), CAT).scores
    assert np.array_equal(own, picodet.detect(model, CAT, resize="portable").scores)
    with use_kernels("portable"):
        assert np.array_equal(own, picodet.detect(model, CAT).scores)
    native = picodet.detect(model, CAT, resize="native").scores
    assert np.array_equal(native, picodet.detect(model, CAT).scores)
    assert np.array_equal(own, native) == (not kernels_differ(2))


def test_interp_is_the_models_own_or_the_requested_one(model):
    nearest = replace(SMALL, preprocessing=replace(SMALL.preprocessing, interp=0))
    own = picodet.detect(filled_model(nearest, seeded_checkpoint(SMALL)), CAT).scores
    assert np.array_equal(own, picodet.detect(model, CAT, interp=0).scores)
    assert not np.array_equal(own, picodet.detect(model, CAT, interp=2).scores)
    assert np.array_equal(picodet.detect(model, CAT).scores, picodet.detect(model, CAT, 2).scores)


def test_works_in_float64(model):
    single = picodet.detect(model, CAT)
    double = picodet.detect(filled_model(SMALL, seeded_checkpoint(SMALL)).double(), CAT)
    assert double.scores.dtype == double.boxes.dtype == np.float64
    # float32 noise of these weights, measured: 3e-7
    assert np.abs(np.sort(single.scores) - np.sort(double.scores)).max() < 1e-5


def test_a_model_in_training_mode_is_refused(model):
    model.train()
    try:
        with pytest.raises(PicoDetError, match=r"model\.eval\(\)"):
            picodet.detect(model, CAT)
    finally:
        model.eval()


def test_a_part_in_training_mode_is_refused_and_nothing_changes():
    model = filled_model(SMALL, seeded_checkpoint(SMALL))
    model.neck.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(PicoDetError, match=r"neck is in training mode; call model\.eval"):
        picodet.detect(model, CAT)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["bfloat16", "float16", "autocast"])
def test_lower_precision_gives_float32_detections(how):
    model = filled_model(SMALL, seeded_checkpoint(SMALL))
    expected = picodet.detect(model, CAT)
    if how == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            found = picodet.detect(model, CAT)
    else:
        found = picodet.detect(model.to(getattr(torch, how)), CAT)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    # measured: 0.0013 in bfloat16 and under autocast, 0.00024 in float16
    assert abs(found.scores.max() - expected.scores.max()) < 0.005


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "model must be one that picodet.load has read, found NoneType"),
        ("street.jpg", "found str"),
        (torch.nn.Linear(1, 1), "found torch.nn.modules.linear.Linear$"),
    ],
)
def test_a_wrong_type_of_model_is_named(model, message):
    with pytest.raises(PicoDetError, match=message):
        picodet.detect(model, CAT)


def test_wrapped_mixed_and_meta_models_are_errors(model):
    with pytest.raises(PicoDetError, match=r"DataParallel; it is in its \.module"):
        picodet.detect(torch.nn.DataParallel(model), CAT)
    half = filled_model(SMALL, seeded_checkpoint(SMALL))
    half.head.half()
    with pytest.raises(PicoDetError, match=r"torch\.float16 on cpu and torch\.float32 on cpu"):
        picodet.detect(half, CAT)
    with pytest.raises(PicoDetError, match="the device meta"):
        picodet.detect(half.float().to("meta"), CAT)


@pytest.mark.parametrize(
    "image", [None, b"x.jpg", [[0]], torch.zeros(8, 8, 3, dtype=torch.uint8), 3, ["a.jpg"]]
)
def test_a_wrong_type_of_image_is_named(model, image):
    with pytest.raises(ImageError, match="image must be a file's path, or an array"):
        picodet.detect(model, image)
    with pytest.raises(PicoDetError, match="model must be one"):
        picodet.detect(image, model)


@pytest.mark.parametrize("score", [None, "0.5", torch.ones(1)])
def test_a_threshold_is_a_number(model, score):
    with pytest.raises(PicoDetError, match=r"score_thr: found .* expected a number from 0 to 1"):
        picodet.detect(model, CAT, score_thr=score)
    assert len(picodet.detect(model, CAT, score_thr=np.float32(0.5))) < 100


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_other_thresholds_are_refused(model, score):
    with pytest.raises(PicoDetError, match="expected a number from 0 to 1"):
        picodet.detect(model, CAT, score_thr=score)


def test_a_nan_output_is_refused():
    model = filled_model(SMALL, seeded_checkpoint(SMALL))
    with torch.no_grad():
        model.head.predictors[2].bias[1] = torch.nan
    with pytest.raises(PicoDetError, match="not finite"):
        picodet.detect(model, CAT)


def test_an_unreadable_image_is_an_error(model, tmp_path):
    with pytest.raises(ImageError):
        picodet.detect(model, tmp_path / "absent.jpg")
