import json
from dataclasses import replace
from pathlib import Path

import color_network
import numpy as np
import pytest

from picodet.config import Preprocessing
from picodet.errors import CheckpointError
from picodet.formats.meta import META_KEY, make_meta
from picodet.inference.backend import ModelInputs
from picodet.inference.onnx_metadata import read_onnx_spec
from picodet.zoo.class_names import COCO

PATH = Path("x.onnx")
IMAGE = {"image": (1, 3, 64, 64)}
ANY = {"image": (None, 3, None, None)}
NMS = IMAGE | {"scale_factor": (1, 2)}
ANCHOR_COUNTS = (64, 16, 4, 1)


def heads(classes=3, bins=8):
    return [(1, n, classes) for n in ANCHOR_COUNTS] + [(1, n, 4 * bins) for n in ANCHOR_COUNTS]


ROWS = [(None, 6), (1,)]


def spec(inputs=IMAGE, outputs=None, meta=None, size=None):
    """meta: a dictionary, or text in its place."""
    text = meta if isinstance(meta, str) else json.dumps(meta)
    metadata = {"author": "nobody"} | ({} if meta is None else {META_KEY: text})
    return read_onnx_spec(PATH, inputs, outputs or heads(), metadata, size)


def test_an_export_of_picodet_states_everything():
    config = replace(
        color_network.CONFIG, preprocessing=Preprocessing((0.1, 0.2, 0.3), (1, 2, 3), 1)
    )
    meta = make_meta(config, "detector", "x", "0" * 64) | {"project": [0, 1.5, 2, 3, 4, 5, 6, 9]}
    found = spec(meta=meta)
    assert found.spec.name == "colors"
    assert found.spec.output_format == "heads"
    assert found.spec.input_size == (64, 64)
    assert found.spec.preprocessing == config.preprocessing
    assert (found.spec.classes, found.spec.num_classes) == (("red", "green", "blue"), 3)
    assert found.spec.notes == ()
    assert found.project.tolist() == [0, 1.5, 2, 3, 4, 5, 6, 9]
    assert (found.image_input, found.scale_factor_input) == ("image", None)


def test_a_file_without_metadata_is_read_as_ppdets():
    found = spec(outputs=heads(classes=80, bins=12))
    assert found.spec.name == "x"
    assert found.spec.classes == COCO
    assert found.spec.preprocessing == Preprocessing()
    assert found.project.tolist() == list(range(12))
    assert "taken to be COCO's" in found.spec.notes[0]
    assert "ppdet's defaults" in found.spec.notes[1]


def test_other_classes_have_no_names():
    found = spec(outputs=heads(classes=2))
    assert (found.spec.classes, found.spec.num_classes) == (None, 2)
    assert "no names" in found.spec.notes[0]
    assert found.spec.class_name(1) == "class 1"


def read_listed(names, outputs):
    return read_onnx_spec(PATH, IMAGE, outputs, {"character": names}, None).spec


def test_class_names_in_the_metadata_of_other_exporters():
    found = read_listed("text\ntitle\n", heads(classes=2))
    assert (found.classes, found.num_classes) == (("text", "title"), 2)
    assert "no names" not in " ".join(found.notes)
    found = read_listed("text\ntitle", heads(classes=80))
    assert found.classes is None
    assert "scores for 80, and its metadata lists 2" in found.notes[0]


def test_the_number_of_classes_of_detections_is_unknown():
    found = spec(NMS, ROWS)
    assert (found.spec.output_format, found.spec.num_classes) == ("detections", None)
    assert found.scale_factor_input == "scale_factor"
    assert spec(NMS, ROWS, color_network.meta()).spec.num_classes == 3


@pytest.mark.parametrize(
    ("inputs", "meta", "asked", "size"),
    [
        (IMAGE, False, None, (64, 64)),
        (IMAGE, False, (64, 64), (64, 64)),
        (ANY, False, (96, 128), (96, 128)),
        (ANY, True, None, (64, 64)),
        (ANY, True, (96, 128), (96, 128)),
        ({"x": (1, 3, 96, 64)}, True, None, (96, 64)),
    ],
)
def test_size(inputs, meta, asked, size):
    meta = color_network.meta() if meta else None
    assert spec(inputs, meta=meta, size=asked).spec.input_size == size


@pytest.mark.parametrize(
    ("inputs", "asked", "message"),
    [
        (IMAGE, (96, 64), "takes 64x64 only"),
        (ANY, None, "of any size; give one with --input-size"),
        (ANY, (65, 64), "65x64: both sides must be multiples of 32"),
        ({"image": (1, 3, 100, 100)}, None, "100x100: both sides must be multiples of 32"),
        ({"image": (1, 3, 64, None)}, None, "of any size"),
        ({"a": (1, 3, 64, 64), "b": (1, 3, 64, 64)}, None, "takes a [1, 3, 64, 64], b [1, 3,"),
        ({"image": (1, 64)}, None, "takes image [1, 64]; expected are one image"),
        (IMAGE | {"im_shape": (1, 2)}, None, "im_shape [1, 2]; expected are one image"),
        ({}, None, "expected are one image"),
    ],
)
def test_unexpected_inputs_are_refused(inputs, asked, message):
    with pytest.raises(CheckpointError) as caught:
        spec(inputs, size=asked)
    assert f"x.onnx: {message}" in str(caught.value) or message in str(caught.value)
    assert str(caught.value).startswith("x.onnx: ")


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a dictionary"),
        ("null", "is not a dictionary"),
        ({"variant": "x"}, "invalid metadata picodet: KeyError"),
        (color_network.meta(input_size=[64, 65]), "multiples of 32"),
        (color_network.meta(input_size=64), "invalid metadata picodet: TypeError"),
        (color_network.meta(preprocessing={}), "invalid metadata picodet: KeyError"),
        (color_network.meta(project=[[1]]), "project: expected a list of numbers"),
        (color_network.meta(project=["a"]), "invalid metadata picodet: ValueError"),
        (color_network.meta(project=[0, float("nan")]), "project: expected a list of numbers"),
        (color_network.meta(project=None), "project: expected a list of numbers"),
        (color_network.meta(classes=["a", "b"]), "has scores for 3 classes, and names 2"),
    ],
)
def test_damaged_metadata_is_refused(meta, message):
    with pytest.raises(CheckpointError, match=r"^x\.onnx: ") as caught:
        spec(meta=meta)
    assert message in str(caught.value)


INPUTS = ModelInputs(np.zeros((2, 3, 64, 64), np.float32), np.array([[0.5, 2], [1, 4]], np.float32))
OUTPUTS = [
    np.array([[0, 0.9, 8, 8, 16, 16], [1, 0.5, 8, 8, 16, 16]], np.float32),
    np.array([1, 1], np.int32),
]


def test_only_a_file_that_takes_scale_factors_is_fed_them():
    assert list(spec().feed(INPUTS)) == ["image"]
    feed = spec(NMS, ROWS).feed(INPUTS)
    assert feed["image"] is INPUTS.images
    assert feed["scale_factor"] is INPUTS.scale_factors


def test_rows_of_a_single_input_file_are_in_pixels_of_its_input():
    """Scale factors are (y, x): boxes of half the height and twice the width, and so on."""
    first, second = spec(outputs=ROWS).read(OUTPUTS, INPUTS)
    assert first.boxes.tolist() == [[4, 16, 8, 32]]
    assert second.boxes.tolist() == [[2, 8, 4, 16]]
    first, second = spec(NMS, ROWS).read(OUTPUTS, INPUTS)
    assert first.boxes.tolist() == second.boxes.tolist() == [[8, 8, 16, 16]]


def test_bins_have_the_values_of_the_metadata():
    """Equal logits: the mean of 0 and 5 is 2.5 strides."""
    found = spec(outputs=heads(bins=2), meta=color_network.meta(project=[0, 5]))
    outputs = [np.full(shape, 0.5, np.float32) for shape in heads(bins=2)]
    one, *_ = found.read(outputs, INPUTS._replace(images=INPUTS.images[:1]))
    assert one.boxes[0].tolist() == [-16, -16, 24, 24]
