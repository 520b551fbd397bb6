"""Inference folders run in a substitute of Paddle, a few lines of NumPy, and in the real one."""

import sys
from pathlib import Path

import numpy as np
import pytest
from fake_paddle_folders import CONFIG, heads, make_folder

from picodet.config import NMSSettings, Preprocessing, feature_map_sizes
from picodet.errors import CheckpointError, PicoDetError
from picodet.inference.backend import ModelInputs
from picodet.inference.open_backend import RuntimeOptions, open_backend
from picodet.inference.paddle_backend import open_paddle
from picodet.ops.anchor_points import make_anchor_points
from picodet.zoo.class_names import COCO

PYTHON = Path(sys.executable)
NMS_INPUTS = ("image", "scale_factor")


@pytest.fixture
def opened(fake_paddle, tmp_path):
    """Opens a folder whose program returns these outputs; it is closed after the test."""
    networks = []

    def opened(outputs, size=None, **more):
        folder = make_folder(tmp_path / "folder", outputs, **more)
        networks.append(open_backend(folder, RuntimeOptions(paddle_python=PYTHON, size=size)))
        return networks[-1]

    yield opened
    for network in networks:
        network.close()


def inputs_of(*values, side=64):
    images = np.stack([np.full((3, side, side), value, np.float32) for value in values])
    return ModelInputs(images, np.full((len(values), 2), 0.5, np.float32))


def test_the_spec_of_a_folder(opened):
    spec = opened(heads()).spec
    assert (spec.name, spec.output_format, spec.input_size) == ("folder", "heads", (64, 64))
    assert spec.preprocessing == Preprocessing((0.5,) * 3, (0.25,) * 3, 1)
    assert (spec.classes, spec.num_classes, spec.notes) == (("cat", "dog"), 2, ())


def test_heads_are_decoded(opened):
    """Equal bins: every side is 3.5 strides from its anchor point."""
    (found,) = opened(heads(score=0.25))(inputs_of(1))
    centers, strides = make_anchor_points(feature_map_sizes((64, 64)))
    expected = np.concatenate([centers - 3.5, centers + 3.5], axis=1) * strides
    assert np.allclose(found.boxes, expected)
    assert found.scores.shape == (2, 85)
    assert (found.scores == 0.25).all()


@pytest.mark.parametrize("order", [1, -1])
def test_boxes_in_either_order(opened, order):
    outputs = [("boxes", (1, 85, 4), 7), ("scores", (1, 2, 85), "sum")][::order]
    network = opened(outputs)
    found = network(inputs_of(1, 2))
    assert network.spec.output_format == "boxes"
    assert [each.scores[0, 0] for each in found] == [3 * 64 * 64, 2 * 3 * 64 * 64]
    assert found[0].boxes.shape == (85, 4)


def test_detections_are_in_pixels_of_the_image(opened):
    rows = [[1, 0.5, 1, 2, 3, 4], [0, 0.75, 5, 6, 7, 8], [-1, 0, 0, 0, 0, 0]]
    network = opened([("rows", (3, 6), rows), ("numbers", (1,), 3)], inputs=NMS_INPUTS)
    assert (network.spec.output_format, network.spec.num_classes) == ("detections", 2)
    for found in network(inputs_of(1, 2)):
        assert found.classes.tolist() == [0, 1]
        assert found.scores.tolist() == [0.75, 0.5]
        assert found.boxes.tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]]


def test_each_image_goes_with_its_own_scale_factor(opened):
    rows = ("rows", (1, 6), "last"), ("numbers", (1,), 1)
    network = opened(list(rows), inputs=NMS_INPUTS)
    inputs = inputs_of(1, 2)._replace(scale_factors=np.array([[0.25, 9], [0.75, 9]], np.float32))
    assert [each.scores.tolist() for each in network(inputs)] == [[0.25], [0.75]]


def test_im_shape_of_programs_of_2021(opened):
    """ppdet's im_shape is the size after resizing, height first."""
    outputs = [("rows", (1, 6), "last"), ("numbers", (1,), 1)]
    config = CONFIG.replace("cat, dog", ", ".join(f"c{i}" for i in range(100)))
    network = opened(outputs, inputs=("image", "scale_factor", "im_shape"), config=config)
    (found,) = network(inputs_of(1))
    assert found.scores.tolist() == [64]


def test_no_detections(opened):
    (found,) = opened([("rows", (0, 6), 0), ("numbers", (1,), 0)], inputs=NMS_INPUTS)(inputs_of(1))
    assert len(found) == 0


def test_labels_of_another_model_are_ignored(opened):
    spec = opened(heads(), config=CONFIG.replace("cat, dog", "cat, dog, cow")).spec
    assert (spec.classes, spec.num_classes) == (None, 2)
    assert "the program has 2, and the label_list of its infer_cfg.yml names 3" in spec.notes[0]


def test_a_class_beyond_the_labels(opened):
    row = [[2, 0.5, 1, 2, 3, 4]]
    with pytest.raises(PicoDetError, match=r"of class 2, counted from 0, .* names 2 classes"):
        opened([("rows", (1, 6), row), ("numbers", (1,), 1)], inputs=NMS_INPUTS)


def test_a_folder_without_infer_cfg(opened):
    scores = ("scores", (1, 80, 85), 0.5)
    spec = opened([("boxes", (1, 85, 4), 7), scores], config=None, size=(64, 64)).spec
    assert (spec.input_size, spec.preprocessing, spec.classes) == ((64, 64), Preprocessing(), COCO)
    assert len(spec.notes) == 2
    assert "COCO's" in spec.notes[0]
    assert "ppdet's defaults" in spec.notes[1]


NMS = CONFIG + "NMS: {score_threshold: 0.3, nms_threshold: 0.5, nms_top_k: 400, keep_top_k: 20}"


def test_the_nms_of_the_settings(opened):
    spec = opened(heads(), config=NMS).spec
    assert spec.nms == NMSSettings(0.3, 0.5, 400, 20)
    assert spec.notes == (
        "NMS as the folder states it: score > 0.3, IoU > 0.5, the best 400 of a class and 20 of "
        "all; --score-thr and --iou-thr change it",
    )


def test_a_program_that_does_its_own_nms(opened):
    spec = opened([("rows", (1, 6), 1), ("numbers", (1,), 1)], inputs=NMS_INPUTS, config=NMS).spec
    assert (spec.nms, spec.notes) == (None, ())


def test_a_step_that_is_not_carried_out_is_noted(opened):
    spec = opened(heads(), config=CONFIG.replace("type: Resize", "type: LetterboxResize")).spec
    assert spec.preprocessing.unsupported == "the step LetterboxResize"
    assert "its preprocessing has the step LetterboxResize" in spec.notes[0]


def test_a_folder_without_label_list(opened):
    spec = opened(heads(), config=CONFIG[: CONFIG.index("label_list")]).spec
    assert (spec.classes, spec.num_classes) == (None, 2)
    assert "no names" in spec.notes[0]


@pytest.mark.parametrize(
    ("outputs", "more", "expected"),
    [
        (heads(), {"inputs": ("image", "points")}, "its program takes image, points; expected"),
        (heads(), {"inputs": ("scale_factor",)}, "its program takes scale_factor; expected are"),
        (heads()[:-1], {}, "its outputs are"),
        ([("y", (1, 1000), 1)], {}, "its outputs are"),
        ([("rows", (1, 6), 1), ("numbers", (1,), 1)], {}, "its NMS takes no scale_factor"),
        (heads(), {"config": None}, "its program states no input size; give it with"),
        (heads(), {"size": (65, 64)}, "65x64: both sides must be multiples of 32"),
        (heads(), {"config": "7"}, "found 7; expected settings such as Preprocess"),
    ],
)
def test_programs_that_are_not_a_picodet(opened, outputs, more, expected):
    with pytest.raises(CheckpointError) as caught:
        opened(outputs, **more)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("outputs", "more", "expected"),
    [
        (heads(score="inf"), {}, "not finite"),
        ([("rows", (1, 6), "inf"), ("numbers", (1,), 1)], {"inputs": NMS_INPUTS}, "not finite"),
        (
            [("rows", (1, 6), 0), ("numbers", (1,), 3)],
            {"inputs": NMS_INPUTS},
            r"1 rows and the counts \[3",
        ),
        (heads(), {"size": (32, 64)}, "for an image of 32x64"),
    ],
)
def test_invalid_outputs(opened, outputs, more, expected):
    with pytest.raises(PicoDetError, match=expected):
        opened(outputs, **more)


def test_a_folder_without_a_program(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"found no program; expected one program, model\.pdmodel, "
    ):
        open_paddle(tmp_path, PYTHON, None)


@pytest.fixture
def real(shared, paddle_python):
    """Opens a real folder with the real Paddle."""
    networks = []

    def real(folder):
        networks.append(open_paddle(shared / folder, paddle_python, None))
        return networks[-1]

    yield real
    for network in networks:
        network.close()


S416 = Path("reference", "picodet_s_416_coco")


@pytest.mark.slow
@pytest.mark.paddle
def test_a_program_with_nms_matches_the_recording(real, shared):
    """Paddle 3's format. The recorded weights are random: 0.02 px is a tenth of their noise."""
    network = real(S416 / "export_nms" / "picodet_s_416_coco")
    assert (network.spec.output_format, network.spec.classes) == ("detections", COCO)
    recorded = np.load(shared / S416 / "eval.npz")
    found = network(ModelInputs(recorded["input"], recorded["scale_factor"]))
    for each, rows in zip(found, np.split(recorded["bbox"], 2), strict=True):
        assert np.array_equal(each.classes, rows[:, 0])
        assert np.abs(each.scores - rows[:, 1]).max() < 1e-5
        assert np.abs(each.boxes - rows[:, 2:]).max() < 0.02


@pytest.mark.slow
@pytest.mark.paddle
def test_a_program_of_heads_matches_the_recording(real, shared):
    """Paddle 2's format, decoded here and by ppdet; as exact as the float32 recording."""
    network = real(S416 / "export_raw_pdmodel" / "picodet_s_416_coco")
    assert (network.spec.output_format, network.spec.num_classes) == ("heads", 80)
    recorded = np.load(shared / S416 / "eval.npz")
    for i, found in enumerate(network(ModelInputs(recorded["input"], recorded["scale_factor"]))):
        assert np.abs(found.scores - recorded["scores"][i]).max() < 1e-4
        assert np.abs(found.boxes - recorded["boxes_netscale"][i]).max() < 0.2


@pytest.mark.slow
@pytest.mark.paddle
def test_the_official_pedestrian_model_matches_the_converted_one(real, shared, tmp_path):
    from picodet.converter.configure import ConvertOptions
    from picodet.converter.convert import convert_file

    network = real(Path("weights", "picodet_s_192_pedestrian"))
    assert (network.spec.output_format, network.spec.num_classes) == ("heads", 1)
    assert "names 80" in network.spec.notes[0]
    source = shared / "weights" / "picodet_s_192_pedestrian.pdparams"
    convert_file(source, tmp_path / "model.pth", ConvertOptions())
    ours = open_backend(tmp_path / "model.pth", RuntimeOptions())
    random = np.random.default_rng(0)
    inputs = ModelInputs(
        random.normal(size=(2, 3, 192, 192)).astype(np.float32), np.ones((2, 2), np.float32)
    )
    for theirs, expected in zip(network(inputs), ours(inputs), strict=True):
        assert np.abs(theirs.scores - expected.scores).max() < 1e-5
        assert np.abs(theirs.boxes - expected.boxes).max() < 1e-3
    assert all(
        np.array_equal(a.boxes, b.boxes)
        for a, b in zip(network(inputs), network(inputs), strict=True)
    )
