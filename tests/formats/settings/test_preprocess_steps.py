import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.config import Padding, Preprocessing
from picodet.formats.settings.preprocess_steps import PADDED_BOXES, parse_steps

MEAN, STD = (0.5, 0.25, 0.125), (0.2, 0.4, 0.8)
RESIZE = {"type": "Resize", "target_size": [320, 416], "keep_ratio": False, "interp": 2}
NORMALIZE = {"type": "NormalizeImage", "mean": [*MEAN], "std": [*STD], "is_scale": True}
PERMUTE = {"type": "Permute"}
STRIDE = {"type": "PadStride", "stride": 32}
PAD = {"type": "Pad", "size": [416, 416]}


def steps(resize=RESIZE, *others):
    return parse_steps([resize, *others, PERMUTE])


def test_what_ppdet_writes():
    assert steps(RESIZE, NORMALIZE) == ((320, 416), Preprocessing(MEAN, STD, 2))


def test_an_integer_size_and_the_defaults_of_the_step():
    size, read = steps({"type": "Resize", "target_size": 416, "keep_ratio": 0}, NORMALIZE)
    assert (size, read.interp) == ((416, 416), 1)  # cv2.INTER_LINEAR, as deploy's Resize


def test_a_stride_that_the_size_has_is_no_padding():
    assert parse_steps([RESIZE, NORMALIZE, PERMUTE, STRIDE]) == steps(RESIZE, NORMALIZE)
    assert steps(RESIZE, {**PAD, "size": [320, 416]}, NORMALIZE) == steps(RESIZE, NORMALIZE)


@pytest.mark.parametrize("norm_type", ["none", None])
def test_normalization(norm_type):
    bytes_in = Preprocessing((0, 0, 0), (1, 1, 1), 2, is_scale=False)
    assert steps(RESIZE).preprocessing == bytes_in  # fuse_normalize
    unscaled = steps(RESIZE, {**NORMALIZE, "is_scale": False}).preprocessing
    assert unscaled == Preprocessing(MEAN, STD, 2, is_scale=False)
    scaled = steps(RESIZE, {"type": "NormalizeImage", "norm_type": norm_type}).preprocessing
    assert scaled == Preprocessing((0, 0, 0), (1, 1, 1), 2)


def test_an_aspect_ratio_that_is_kept():
    kept = {**RESIZE, "keep_ratio": True, "target_size": [320, 400]}
    size, read = parse_steps([kept, NORMALIZE, PERMUTE, STRIDE])
    assert (size, read.padding) == ((320, 416), Padding((320, 400), True, stride=32))
    size, read = steps(kept, {**PAD, "fill_value": [1, 2, 3]}, NORMALIZE)
    assert (size, read.padding) == ((416, 416), Padding((320, 400), True, (416, 416), (1, 2, 3)))
    assert steps({"type": "Resize", "target_size": 320}, PAD, NORMALIZE).preprocessing.padding


LETTERBOX = {**RESIZE, "type": "LetterboxResize"}
UNSUPPORTED = [
    (None, "no list of steps (Preprocess is None)"),
    (7, "no list of steps (Preprocess is 7)"),
    ([], "no list of steps (Preprocess is [])"),
    ([7], "a step without a type (7)"),
    ([{}], "a step without a type ({})"),
    ([LETTERBOX, NORMALIZE, PERMUTE], "the step LetterboxResize"),
    ([{**RESIZE, "type": "LetterBoxResize"}], PADDED_BOXES),
    ([RESIZE, RESIZE, PERMUTE], "the step Resize twice"),
    ([NORMALIZE, PERMUTE], "no step Resize"),
    ([RESIZE, NORMALIZE], "no step Permute"),
    ([NORMALIZE, RESIZE, PERMUTE], "its steps in the order NormalizeImage, Resize, Permute"),
    ([{**RESIZE, "target_size": [320]}, PERMUTE], "Resize with the target_size [320]"),
    ([{**RESIZE, "target_size": "x"}, PERMUTE], "Resize with the target_size 'x'"),
    ([{**RESIZE, "target_size": [320, -4]}, PERMUTE], "Resize with the target_size [320, -4]"),
    ([{**RESIZE, "interp": 9}, PERMUTE], "Resize with the interp 9"),
    ([{**RESIZE, "interp": "cubic"}, PERMUTE], "Resize with the interp 'cubic'"),
    (
        [RESIZE, {**NORMALIZE, "std": [1, 0, 1]}, PERMUTE],
        "NormalizeImage with the mean [0.5, 0.25, 0.125] and std [1, 0, 1]",
    ),
    (
        [RESIZE, {**NORMALIZE, "mean": [0, float("nan"), 0]}, PERMUTE],
        "NormalizeImage with the mean [0, nan, 0] and std [0.2, 0.4, 0.8]",
    ),
    (
        [RESIZE, {**NORMALIZE, "norm_type": "l2"}, PERMUTE],
        "NormalizeImage with the norm_type 'l2'",
    ),
    ([RESIZE, PERMUTE, {**STRIDE, "stride": "x"}], "PadStride with the stride 'x'"),
    ([RESIZE, {**PAD, "size": None}, PERMUTE], "Pad with the size None"),
    ([RESIZE, {**PAD, "fill_value": [0.5, 0, 0]}, PERMUTE], "Pad with the fill_value [0.5, 0, 0]"),
    ([RESIZE, {**PAD, "size": 256}, PERMUTE], "Pad with a size below the target_size [320, 416]"),
    (
        [{**RESIZE, "target_size": 333}, PERMUTE],
        "an input of 333x333, where PicoDet takes multiples of 32",
    ),
    (
        [{**RESIZE, "keep_ratio": True}, PERMUTE],
        "Resize with keep_ratio and no padding to multiples of 32",
    ),
]


@pytest.mark.parametrize(("listed", "found"), UNSUPPORTED)
def test_what_is_not_carried_out_is_named(listed, found):
    read = parse_steps(listed).preprocessing
    assert read == Preprocessing(unsupported=found)


def test_the_size_of_an_unknown_step():
    assert parse_steps([LETTERBOX]).size == (320, 416)
    assert parse_steps([NORMALIZE, {**LETTERBOX, "target_size": 320}]).size == (320, 320)
    assert parse_steps([{**LETTERBOX, "target_size": [0, 1]}]).size is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
)
STEPS = st.fixed_dictionaries(
    {"type": st.sampled_from(["Resize", "Pad", "NormalizeImage", "Permute", "PadStride"])},
    optional=dict.fromkeys(
        ("target_size", "keep_ratio", "interp", "mean", "std", "size", "stride"), VALUES
    ),
)


@given(st.lists(STEPS | VALUES) | VALUES)
def test_no_list_raises(listed):
    read = parse_steps(listed)
    assert read.preprocessing.unsupported or read.size
