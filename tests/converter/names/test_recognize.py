"""Which PicoDet tensors belong to, by their names and shapes, whole or damaged."""

from dataclasses import replace

import pytest

from picodet.converter.names.recognize import (
    RecognizedModel,
    backbone_signature,
    esnet_widths,
    recognize_backbone,
    recognize_detector,
    signature,
)
from picodet.models.picodet import PicoDet
from picodet.zoo.architectures import (
    LCNET_2_5X,
    LCNET_2_5X_LEAKY_RELU,
    MOBILENET,
    RESNET,
    S_LCNET,
    S_NPU,
    SHUFFLENET,
    VARIANTS,
    XS_LCNET,
    M,
    S,
)
from scripts.fixtures import seeded


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
@pytest.mark.parametrize(("num_classes", "depth", "reg_max"), [(80, 2, 7), (1, 4, 7), (7, 1, 16)])
def test_numbers_are_read_off_the_tensors(variant, num_classes, depth, reg_max):
    classes = tuple(map(str, range(num_classes)))
    config = replace(variant, classes=classes, head_convs=depth, reg_max=reg_max)
    shown = {LCNET_2_5X_LEAKY_RELU: LCNET_2_5X}.get(variant, variant)  # tensors are the same
    expected = RecognizedModel(shown, num_classes, depth, reg_max)
    assert recognize_detector(seeded.shapes(config)) == RecognizedModel.of(config) == expected


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_signature_is_part_of_the_model(variant):
    """And no two are alike, but for an activation, which tensors do not show."""
    whole = signature(variant)
    assert whole.items() <= seeded.shapes(variant).items()
    assert len(whole) == {"pico_head": 8, "pico_head_v2": 9}[variant.head]
    assert backbone_signature(variant.backbone).items() <= whole.items()
    alike = [v for v in VARIANTS if signature(v) == whole]
    assert alike in ([variant], [LCNET_2_5X, LCNET_2_5X_LEAKY_RELU])


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_what_the_neck_takes_are_the_ends_of_the_stages(variant):
    model = PicoDet(variant)
    taken = [signature(variant)[f"neck.conv_t.convs.{i}.conv.weight"][1] for i in range(3)]
    assert taken == list(model.backbone.channels)


@pytest.mark.parametrize(
    "variant", [S, SHUFFLENET, MOBILENET, RESNET, XS_LCNET], ids=lambda variant: variant.name
)
def test_a_backbone_alone(variant):
    shapes = {n: s for n, s in seeded.shapes(variant).items() if n.startswith("backbone.")}
    backbone, table = recognize_backbone(shapes)
    assert backbone == variant.backbone
    assert all(table.to_ours(name) for name in shapes)


def test_one_backbone_under_two_necks():
    """The weights of the NPU model's backbone are the S model's; what is behind it tells."""
    assert backbone_signature(S_NPU.backbone) == backbone_signature(S_LCNET.backbone)
    for variant in (S_NPU, S_LCNET):
        assert recognize_detector(seeded.shapes(variant)).variant == variant


def test_missing_tensors_do_not_hide_the_variant():
    shapes = seeded.shapes(M)
    for name in [name for name in shapes if "2_1" in name or name.startswith("head.")]:
        del shapes[name]
    assert recognize_detector(shapes) == RecognizedModel.of(M)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("head.distribution_project.project", (10**9,)),
        ("head.distribution_project.project", ()),
        ("head.head_cls0.weight", (10**9, 96, 1, 1)),
        ("head.head_cls2.weight", ()),
        ("head.head_reg0.weight", (10**9, 96, 1, 1)),
        *((f"head.conv_feat.cls_conv_dw0.{i}.conv.weight", (1,)) for i in (2, 3)),
    ],
)
def test_one_tensor_cannot_claim_a_giant(name, shape):
    """What a single tensor says is believed only where others bear it out."""
    assert recognize_detector(seeded.shapes(S) | {name: shape}) == RecognizedModel.of(S)


def test_in_the_new_head_classes_stand_alone():
    shapes = seeded.shapes(replace(S_LCNET, classes=("a",), reg_max=11))
    assert shapes["head.head_cls0.weight"] == (1, 96, 1, 1)
    assert shapes["head.head_reg0.weight"] == (48, 96, 1, 1)
    assert recognize_detector(shapes) == RecognizedModel(S_LCNET, 1, 2, 11)
    claimed = recognize_detector(shapes | {"head.distribution_project.project": (10**9,)})
    assert claimed.reg_max == 7


def test_what_is_shown_to_people():
    text = "picodet_xs_lcnet with 80 classes, head depth 2 and reg_max 7"
    assert str(RecognizedModel.of(XS_LCNET)) == text


def test_other_tensors_are_no_picodet():
    assert recognize_detector({"backbone.conv1.conv.weight": (16, 3, 3, 3)}) is None
    assert recognize_backbone({"backbone.blocks.0.concat_pw.conv.weight": (88, 88, 1, 1)}) is None
    assert recognize_backbone({}) is None
    assert recognize_detector({}) is None
    assert esnet_widths({"backbone.blocks.0.concat_pw.conv.weight": (88, 88, 1, 1)}) == [88]
    assert esnet_widths({"backbone.2_1._conv_pw_mv1._conv.weight": (88,)}) == []
