from dataclasses import replace

import pytest
import seeded

from picodet.config import VARIANTS
from picodet.converter.recognise import Recognised, recognise_backbone, recognise_detector

S, M, L = VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("num_classes", "depth", "reg_max"), [(80, 2, 7), (1, 4, 7), (7, 1, 16)])
def test_numbers_are_read_off_the_tensors(variant, num_classes, depth, reg_max):
    classes = tuple(map(str, range(num_classes)))
    config = replace(variant, classes=classes, head_convs=depth, reg_max=reg_max)
    expected = Recognised(variant, num_classes, depth, reg_max)
    assert recognise_detector(seeded.shapes(config)) == Recognised.of(config) == expected


def test_missing_tensors_do_not_hide_the_variant():
    shapes = seeded.shapes(M)
    for name in [name for name in shapes if "2_1" in name or name.startswith("head.")]:
        del shapes[name]
    assert recognise_detector(shapes) == Recognised.of(M)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("head.distribution_project.project", (10**9,)),
        ("head.distribution_project.project", ()),
        ("head.head_cls0.weight", (10**9, 96, 1, 1)),
        ("head.head_cls2.weight", ()),
        *((f"head.conv_feat.cls_conv_dw0.{i}.conv.weight", (1,)) for i in (2, 3)),
    ],
)
def test_one_tensor_cannot_claim_a_giant(name, shape):
    """What a single tensor says is believed only where others bear it out."""
    assert recognise_detector(seeded.shapes(S) | {name: shape}) == Recognised.of(S)


def test_other_tensors_are_no_picodet():
    assert recognise_detector({"backbone.conv1.conv.weight": (16, 3, 3, 3)}) is None
    assert recognise_backbone({"backbone.blocks.0.concat_pw.conv.weight": (88, 88, 1, 1)}) is None
