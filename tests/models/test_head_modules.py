from math import log, sqrt

import pytest
import torch
from torch.nn import functional as F

from picodet.config import STRIDES
from picodet.converter.names.name_tables import name_table
from picodet.models.head import HeadOutput, HeadV2Output, PicoHead
from picodet.models.pico_head_v2 import PicoHeadV2
from picodet.zoo.architectures import S_LCNET


def levels(*values):
    return tuple(torch.tensor(value, dtype=torch.float64).view(1, -1, 1, 1) for value in values)


def test_scores_are_probabilities():
    first, second = HeadOutput(levels([0.0, log(3)], [-log(4)]), ()).scores()
    assert first.ravel().tolist() == pytest.approx([0.5, 0.75])
    assert second.ravel().tolist() == pytest.approx([0.2])


def test_aligned_scores_are_geometric_means():
    """Geometric means of 0.5 and 0.75, and of 0.8 and 0.75, with epsilon 1e-9."""
    (scores,) = HeadV2Output(levels([0.0, log(4)]), levels([log(3)]), ()).scores()
    expected = [sqrt(0.5 * 0.75 + 1e-9), sqrt(0.8 * 0.75 + 1e-9)]
    assert scores.ravel().tolist() == pytest.approx(expected, rel=1e-15)


def test_no_aligned_score_is_below_the_root_of_epsilon():
    (scores,) = HeadV2Output(levels([-1000.0]), levels([-1000.0]), ()).scores()
    assert scores.item() == pytest.approx(sqrt(1e-9), rel=1e-15)


@pytest.mark.parametrize("head", [PicoHead, PicoHeadV2])
def test_outputs_of_each_level(head):
    features = tuple(torch.randn(2, 8, 4 // 2**i, 2) for i in range(3))
    output = head(8, 1, num_classes=5, reg_max=3, num_levels=3, act=F.relu6).eval()(features)
    channels = {"logits": 5, "alignment": 1, "reg": 16}
    for name, maps in [*output._asdict().items(), ("logits", output.scores())]:
        assert [tuple(x.shape) for x in maps] == [(2, channels[name], h, 2) for h in (4, 2, 1)]


def test_the_tensors_of_v2_have_ppdets_order():
    head = PicoHeadV2(8, 1, 3, 7, len(STRIDES))
    table = name_table(S_LCNET.backbone, S_LCNET.neck, S_LCNET.head)
    names = [table.to_paddle(f"head.{name}") for name in head.state_dict()]
    layers = dict.fromkeys(name.name.split(".", 1)[1].rpartition(".")[0] for name in names if name)
    assert list(layers)[:3] == [
        f"conv_feat.se.0.{layer}" for layer in ("fc", "conv.conv", "conv.norm")
    ]
    assert list(layers)[12] == "conv_feat.cls_conv_dw0.0.conv"
    assert list(layers)[-25:-19] == [
        "distribution_project",
        *(f"cls_align.0.{layer}" for layer in ("dwconv", "bn1", "pwconv", "bn2")),
        "cls_align.1.dwconv",
    ]
    predictors = [f"head_{kind}{level}" for level in range(4) for kind in ("cls", "reg")]
    assert list(layers)[-8:] == predictors
