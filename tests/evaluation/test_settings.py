from dataclasses import replace

import cv2
import numpy as np
import pytest

from picodet.config import Preprocessing
from picodet.data.preprocess import normalize, normalize_float, preprocess, resize, scale_factor
from picodet.data.resize_kernels import describe_kernels, fingerprint, kernels_differ, use_kernels
from picodet.evaluation.settings import INTERP_NAMES, EvalSettings, InputSettings, what_if_settings
from picodet.ops.layout import LayoutSettings
from picodet.ops.postprocess import Postprocessing

PREPROCESSING = Preprocessing((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), interp=1)
NOISE = np.random.RandomState(0).randint(0, 256, (50, 70, 3), np.uint8)
SIZE = (64, 96)


@pytest.mark.parametrize("interp", range(5))
def test_unchanged_settings_give_the_inputs_of_detect(interp):
    """Its own interp, whatever the model's is."""
    expected, _ = preprocess(NOISE, SIZE, replace(PREPROCESSING, interp=interp))
    assert np.array_equal(InputSettings(interp)(NOISE, SIZE, PREPROCESSING), expected)


def test_bgr_is_the_other_order_of_channels_with_the_same_mean_and_std():
    blue = np.zeros((32, 32, 3), np.uint8)
    blue[:, :, 0] = 255
    base = InputSettings(0)(blue, (32, 32), PREPROCESSING)[:, 0, 0]
    variants = InputSettings(0, bgr=True)(blue, (32, 32), PREPROCESSING)[:, 0, 0]
    assert base.tolist() == pytest.approx([-0.1 / 0.5, -0.2 / 0.6, 0.7 / 0.7])
    assert variants.tolist() == pytest.approx([0.9 / 0.5, -0.2 / 0.6, -0.3 / 0.7])


def test_floats_are_neither_rounded_nor_kept_within_a_byte():
    """An edge that cubic interpolation overshoots."""
    edge = np.zeros((8, 8, 3), np.uint8)
    edge[:, 4:] = 255
    plain = Preprocessing((0, 0, 0), (1, 1, 1))
    bytes_, floats = (
        InputSettings(2, as_float)(edge, (32, 32), plain) for as_float in (False, True)
    )
    assert (bytes_.min(), bytes_.max()) == (0, 1)
    assert floats.min() < -0.01
    assert floats.max() > 1.01
    gray = bytes_ * 255
    assert np.abs(gray - gray.round()).max() < 1e-4
    assert np.abs(bytes_ - floats.clip(0, 1)).max() < 0.51 / 255 + 1e-3
    scaled = cv2.resize(edge.astype(np.float32), (32, 32), interpolation=2)
    assert np.abs(floats[0] * 255 - scaled[..., 0]).max() < 1e-3


def test_floats_are_normalized_as_bytes_are():
    """Where there is nothing to round, the bits are the same."""
    expected = normalize(NOISE, PREPROCESSING)
    found = normalize_float(NOISE.astype(np.float32), PREPROCESSING)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    nearest = InputSettings(0, as_float=True)(NOISE, SIZE, PREPROCESSING)
    assert np.array_equal(nearest, normalize(resize(NOISE, SIZE, 0), PREPROCESSING))


def test_scale_factor_is_height_before_width():
    assert scale_factor(np.zeros((64, 32, 3)), (32, 64), PREPROCESSING).tolist() == [0.5, 2]
    third = scale_factor(np.zeros((3, 7, 3)), (1, 1), PREPROCESSING)
    assert third.dtype == np.float32
    assert third.tolist() == [np.float32(1 / 3), np.float32(1 / 7)]


USUAL = EvalSettings(InputSettings(2))


def test_each_mistake_changes_one_thing():
    base, *variants = what_if_settings(USUAL, has_nms=False)
    assert base is USUAL
    names = [setting.name for setting in variants]
    assert names == [
        *("interp 0 (nearest)", "interp 1 (linear)", "interp 3 (area)", "interp 4 (Lanczos)"),
        *("resized as float", "BGR for RGB", *(["portable resize"] if kernels_differ(2) else [])),
        *("score > 0.001", "score > 0.05", "score > 0.3"),
        *("NMS IoU > 0.5", "NMS IoU > 0.7", "post-processing of ppdet-2.3"),
    ]
    for setting in variants:
        changed = {
            name: (before, after)
            for part in ("input_settings", "postprocessing")
            for name, before in vars(getattr(USUAL, part)).items()
            if (after := getattr(getattr(setting, part), name)) != before
        }
        assert len(changed) == 1, setting.name
        assert [
            name for name, before in base.describe().items() if setting.describe()[name] != before
        ]


def test_a_setting_equal_to_the_base_is_no_row():
    """The right setting is as unusual as the user wants it."""
    asked = Postprocessing(0.05, 0.7, "ppdet-2.3")
    base, *variants = what_if_settings(
        EvalSettings(InputSettings(1, as_float=True, bgr=True), asked), has_nms=False
    )
    names = [setting.name for setting in variants]
    assert "interp 2 (cubic)" in names
    assert not {"interp 1 (linear)", "score > 0.05", "NMS IoU > 0.7"} & set(names)
    assert "post-processing of ppdet-2.4" in names
    assert all(replace(setting, name=base.name) != base for setting in variants)
    assert not variants[names.index("resized as float")].input_settings.as_float


def test_nms_of_the_model_is_not_varied():
    base, *variants = what_if_settings(USUAL, has_nms=True)
    assert len(variants) == len(INTERP_NAMES) - 1 + 2 + kernels_differ(2)
    assert {setting.postprocessing for setting in variants} == {base.postprocessing}


def test_describe():
    assert USUAL.describe() == {
        "resize": "interp 2 (cubic), uint8",
        "resized by": f"{describe_kernels('native')}, {fingerprint('native')['cubic']}",
        "colors": "RGB",
        "score": "> 0.025",
        "NMS": "IoU > 0.6",
        "post-processing": "ppdet-2.4",
    }
    odd = EvalSettings(
        InputSettings(4, True, True, "portable"), Postprocessing(0.001, 0.5, "ppdet-2.3")
    )
    resized_by = f"portable (IPP off), {fingerprint('portable', 'float32')['Lanczos']}"
    assert list(odd.describe().values()) == [
        *("interp 4 (Lanczos), float32", resized_by, "BGR", "> 0.001", "IoU > 0.5", "ppdet-2.3"),
    ]


def test_paddlexs_layout_is_described_and_left_out_in_a_what_if():
    layout = LayoutSettings(("text",), (0.5,), nms=True)
    base = replace(USUAL, postprocessing=Postprocessing(layout=layout))
    expected = "threshold 0.5, NMS on, unclip none, merge union"
    assert base.describe() == USUAL.describe() | {"paddlex-layout": expected}
    for has_nms in (False, True):
        _, *variants = what_if_settings(base, has_nms)
        (without,) = (v for v in variants if v.postprocessing.layout is None)
        assert without == replace(USUAL, name="without paddlex-layout")


@pytest.mark.parametrize("as_float", [False, True])
def test_portable_resize_equals_opencv_without_ipp(as_float):
    noise = np.random.RandomState(1).randint(0, 256, (160, 200, 3), np.uint8)
    size, numbers = (480, 608), replace(PREPROCESSING, interp=2)
    found = InputSettings(2, as_float, kernels="portable")(noise, size, numbers)
    native = InputSettings(2, as_float)(noise, size, numbers)
    with use_kernels("portable"):
        assert np.array_equal(found, InputSettings(2, as_float)(noise, size, numbers))
    assert np.array_equal(found, native) == (not kernels_differ(2))


def test_no_row_for_kernels_that_agree():
    with use_kernels("portable"):
        assert "portable resize" not in {s.name for s in what_if_settings(USUAL, has_nms=False)}
    variants = what_if_settings(EvalSettings(InputSettings(2, kernels="portable")), has_nms=True)
    assert ("native resize" in {setting.name for setting in variants}) == kernels_differ(2)
    assert "portable resize" not in {
        s.name for s in what_if_settings(EvalSettings(InputSettings(1)), has_nms=True)
    }
