from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from tracing import SMALL, filled, seeded_checkpoint

import picodet
from picodet.data.preprocess import read_image
from picodet.errors import ImageError, PicoDetError

CAT = Path(skimage.__file__).parent / "data" / "chelsea.png"


@pytest.fixture(scope="module")
def model():
    return filled(SMALL, seeded_checkpoint(SMALL))


def test_a_path_and_an_array_are_the_same_picture(model):
    found = picodet.detect(model, str(CAT))
    again = picodet.detect(model, read_image(CAT))
    assert isinstance(found, picodet.Detections)
    assert len(found) == 100
    assert np.array_equal(found.boxes, again.boxes)
    assert np.array_equal(found.scores, again.scores)
    assert (np.diff(found.classes) >= 0).all()
    for label in range(3):
        assert (np.diff(found.scores[found.classes == label]) <= 0).all()


def test_the_threshold_only_leaves_out(model):
    best = np.sort(picodet.detect(model, CAT).scores)[-10:]
    found = picodet.detect(model, CAT, score=float(best[0]))
    assert np.sort(found.scores).tolist() == best[1:].tolist()


def test_interp_is_the_models_own_or_what_is_asked_for(model):
    nearest = replace(SMALL, preprocessing=replace(SMALL.preprocessing, interp=0))
    own = picodet.detect(filled(nearest, seeded_checkpoint(SMALL)), CAT).scores
    assert np.array_equal(own, picodet.detect(model, CAT, interp=0).scores)
    assert not np.array_equal(own, picodet.detect(model, CAT, interp=2).scores)
    assert np.array_equal(picodet.detect(model, CAT).scores, picodet.detect(model, CAT, 2).scores)


def test_works_in_double(model):
    single = picodet.detect(model, CAT)
    double = picodet.detect(filled(SMALL, seeded_checkpoint(SMALL)).double(), CAT)
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


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_other_thresholds_are_refused(model, score):
    with pytest.raises(PicoDetError, match="a threshold from 0 to 1"):
        picodet.detect(model, CAT, score=score)


def test_an_output_that_is_no_number_is_refused():
    model = filled(SMALL, seeded_checkpoint(SMALL))
    with torch.no_grad():
        model.head.predictors[2].bias[1] = torch.nan
    with pytest.raises(PicoDetError, match="not finite"):
        picodet.detect(model, CAT)


def test_an_unreadable_picture_is_an_error(model, tmp_path):
    with pytest.raises(ImageError):
        picodet.detect(model, tmp_path / "absent.jpg")


def test_the_public_names_are_there():
    assert sorted(picodet.__all__) == ["Detections", "detect", "load"]
    assert all(callable(getattr(picodet, name)) for name in picodet.__all__)
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = picodet.other
