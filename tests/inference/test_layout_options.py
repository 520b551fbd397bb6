import json

import numpy as np
import pytest

from picodet.config import Preprocessing
from picodet.errors import PicoDetError
from picodet.inference.backend import ModelSpec
from picodet.inference.layout_options import LayoutOptions, options_from_text
from picodet.ops.layout import LayoutSettings

NAMES = ("text", "image", "1")


def spec(names=NAMES):
    return ModelSpec("page.pth", "boxes", (64, 64), Preprocessing(), names, 3)


def from_text(threshold=(), nms=None, unclip=(), merge=(), file=None):
    return options_from_text(threshold, nms, unclip, merge, file).for_model(spec())


def test_the_defaults_are_paddlexs():
    expected = LayoutSettings(NAMES, (0.5, 0.5, 0.5), False, None, "union")
    assert LayoutOptions().for_model(spec()) == from_text() == expected


def test_a_class_goes_by_its_name_or_by_its_number():
    by_class = LayoutOptions(threshold={"image": 0.1, 0: 0.2}).for_model(spec())
    assert by_class.thresholds == (0.2, 0.1, 0.5)
    assert LayoutOptions(threshold={"1": 0.1}).for_model(spec()).thresholds == (0.5, 0.5, 0.1)
    assert LayoutOptions(threshold={1: 0.1}).for_model(spec()).thresholds == (0.5, 0.1, 0.5)
    assert LayoutOptions(threshold={"0": 0.1}).for_model(spec()).thresholds == (0.1, 0.5, 0.5)


def test_a_command_line_names_values_for_all_and_for_one():
    found = from_text(("0.3", "image=0.4"), True, ("1.1x1.2",), ("large", "text=union"))
    assert found.thresholds == (0.3, 0.4, 0.3)
    assert found.nms
    assert found.unclip == ((1.1, 1.2),) * 3
    assert found.merge == ("union", "large", "large")
    assert from_text(unclip=("image=2",)).unclip == (None, (2, 2), None)
    assert from_text(merge=("small",)).merge == "small"


PADDLEX = """
module_name: layout_detection
threshold:
  0: 0.3  # text
  image: 0.4
layout_nms: True
layout_unclip_ratio: [1.0, 1.5]
layout_merge_bboxes_mode: {0: large}
"""


def test_a_file_has_paddlexs_keys_and_options_go_before_it(tmp_path):
    file = tmp_path / "layout.yaml"
    file.write_text(PADDLEX)
    found = from_text(file=file)
    assert found == LayoutSettings(
        NAMES, (0.3, 0.4, 0.5), True, ((1, 1.5),) * 3, ("large", "union", "union")
    )
    changed = from_text(threshold=("0.6",), nms=False, file=file)
    assert (changed.thresholds, changed.nms) == ((0.6,) * 3, False)
    assert changed.merge == found.merge
    same = tmp_path / "layout.json"
    same.write_text(json.dumps({"threshold": {"text": 0.3, "image": 0.4}, "layout_nms": None}))
    assert from_text(file=same).thresholds == found.thresholds


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": float("nan")}, "layout threshold: found nan; expected a number from 0 to 1"),
        ({"threshold": {"text": 1.5}}, "found 1.5; expected a number from 0 to 1"),
        ({"threshold": "half"}, "found 'half'"),
        ({"threshold": True}, "found True"),
        ({"nms": "yes"}, "layout nms: found 'yes'; expected true or false"),
        ({"unclip": 0}, "layout unclip: found 0; expected a number above 0 and up to 100"),
        ({"unclip": (1, 2, 3)}, "or two: of width and height"),
        ({"unclip": {"text": 10**400}}, "expected a number above 0"),
        ({"unclip": np.nan}, "found nan"),
        ({"merge": "big"}, "layout merge: found 'big'; expected one of union, large, small"),
        ({"merge": {"text": ["large"]}}, "expected one of union"),
    ],
)
def test_other_values_are_refused(options, message):
    with pytest.raises(PicoDetError, match=message):
        LayoutOptions(**options)


@pytest.mark.parametrize("name", ["txt", 3, -1, "3", None, True, "9" * 30, "²"])
def test_an_unknown_class_lists_the_known_ones(name):
    with pytest.raises(
        PicoDetError, match=r"page.pth has no class .* one of text, image, 1, or a "
    ):
        LayoutOptions(threshold={name: 0.5}).for_model(spec())


def test_a_class_is_given_once():
    with pytest.raises(PicoDetError, match="'text' and 0 are the same class"):
        LayoutOptions(merge={"text": "large", 0: "small"}).for_model(spec())
    with pytest.raises(PicoDetError, match="layout threshold: 'text' is given twice"):
        from_text(("text=0.1", "text=0.2"))


def test_classes_must_have_names():
    with pytest.raises(PicoDetError, match="does not name its classes"):
        LayoutOptions().for_model(spec(None))


def test_an_error_in_a_file_names_it(tmp_path):
    file = tmp_path / "layout.yaml"
    file.write_text("threshold: 2\n")
    with pytest.raises(PicoDetError, match=r"layout.yaml: layout threshold: found 2"):
        from_text(file=file)
