"""Directories in Hugging Face's transformers, in its own environment."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_models import V1, V2, differing, weights_of

import picodet
from picodet.config import Padding, Preprocessing
from picodet.data.preprocess import scale_factor
from picodet.formats import huggingface_folder
from picodet.formats.meta import make_meta

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "helpers" / "in_transformers.py"
SIZES = [(70, 120), (130, 90)]  # of the images


PADDED = Preprocessing(
    is_scale=False, padding=Padding((96, 128), True, (128, 160), (1.0, 2.0, 3.0))
)
CONFIGS = {"2021": V1, "2022": V2, "padded": replace(V2, preprocessing=PADDED)}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory, transformers_python):
    """The folder in which all lies, and the program's answers to each directory; 20 seconds."""
    root = tmp_path_factory.mktemp("transformers")
    random = np.random.default_rng(0)
    for name, config in CONFIGS.items():
        meta = make_meta(config, "detector", "x", "")
        (root / name).mkdir()
        huggingface_folder.write(root / name / "hub", weights_of(config), meta)
        for number, size in enumerate(SIZES):
            image = random.integers(0, 256, (*size, 3), np.uint8)
            cv2.imwrite(str(root / name / f"{number}.png"), image)
    settings = {"PYTHONPATH": str(ROOT), "HF_HOME": str(root / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [transformers_python, PROGRAM, *(root / name / "hub" for name in CONFIGS)],
        env=os.environ | settings | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [each | {"log": done.stderr} for each in json.loads(done.stdout)]
    return root, dict(zip(CONFIGS, answers, strict=True))


@pytest.fixture(params=CONFIGS)
def name(request):
    return request.param


@pytest.fixture
def config(name):
    return CONFIGS[name]


@pytest.fixture
def folder(made, name):
    return made[0] / name / "hub"


@pytest.fixture
def answers(made, name):
    return made[1][name]


def test_detections_are_those_of_detect_bit_for_bit(answers):
    assert answers["found"] == answers["detect"]
    assert all(len(found["scores"]) > 10 for found in answers["found"])


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("key", ["found", "batch"])
def test_detections_are_those_of_this_python(answers, folder, key):
    """The same but for rounding: other kernels for a batch, perhaps another number of threads."""
    model = picodet.load(folder)
    for number, found in enumerate(answers[key]):
        expected = picodet.detect(model, folder.with_name(f"{number}.png"), score_thr=0.01)
        assert found["labels"] == expected.classes.tolist()
        assert found["scores"] == pytest.approx(expected.scores.tolist(), abs=1e-5)
        np.testing.assert_allclose(found["boxes"], expected.boxes, atol=1e-3)


def test_without_sizes_of_images_boxes_are_in_pixels_of_the_input(answers, config):
    image = np.empty((*SIZES[0], 3), np.uint8)
    factors = scale_factor(image, config.input_size, config.preprocessing)[::-1]
    best = np.argmax(answers["found"][0]["scores"])
    alike = np.argmax(answers["in_input_pixels"]["scores"])
    np.testing.assert_allclose(
        answers["in_input_pixels"]["boxes"][alike],
        answers["found"][0]["boxes"][best] * np.tile(factors, 2),
        rtol=1e-5,
    )


@pytest.mark.parametrize("key", ["pipeline", "pipeline_saved"])
def test_a_pipeline_gives_names_and_whole_pixels(answers, config, key):
    for rows, found in zip(answers[key], answers["found"], strict=True):
        assert [row["score"] for row in rows] == pytest.approx(found["scores"], abs=1e-5)
        assert [row["label"] for row in rows] == [config.classes[i] for i in found["labels"]]
        boxes = [[row["box"][side] for side in ("xmin", "ymin", "xmax", "ymax")] for row in rows]
        np.testing.assert_allclose(boxes, found["boxes"], atol=1.001)
    assert "not supported" not in answers["log"]


def test_what_transformers_saves_is_read_again(answers, config, folder):
    saved = picodet.load(folder.with_name("saved"))
    assert saved.config == config
    arrays = {name: tensor.numpy() for name, tensor in saved.state_dict().items()}
    assert differing(arrays, config) == []


def test_images_in_any_form_and_size(answers, config):
    assert answers["same_forms"] == [True, True, True]
    padded = config.preprocessing.padding is not None
    assert answers["resized"] == [3, *((128, 160) if padded else (64, 160))]


def test_boxes_need_more_digits_than_bfloat16_has(answers):
    assert answers["bfloat16"] == "torch.float32"


def test_bad_input_is_named(answers):
    expected = [
        "labels: no loss is computed here; train with picodet-train",
        "pixel_values: found [3, 64, 64]; expected [B, 3, H, W]",
        "pixel_values: input size 64x65: both sides must be multiples of 32",
        "an image: found [4, 4, 3] float32; expected [H, W, 3] or [3, H, W] uint8 in RGB",
        "an image of PIL's mode F; expected 8 bits per channel: give the file's path",
        "images: found none; expected one at least",
        "do_resize: expected no options; change preprocessor_config.json",
        "threshold 2: expected a number from 0 to 1",
        "target_sizes: found [(3, 4)]; expected (height, width) of each of 2 images",
        "invalid preprocessor_config.json: ValueError resample is 0 (PIL)",
        "do_normalize is False; only True is carried out; convert the model again",
        "invalid config.json: KeyError '1'; convert the model again",
        "weights and config.json do not agree: missing head.integral.project, unexpected x; ",
    ]
    assert len(answers["errors"]) == len(expected)
    for message, text in zip(answers["errors"], expected, strict=True):
        assert text in str(message)
