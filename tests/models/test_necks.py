import pytest
import torch
from torch import nn
from torch.nn import functional as F

from picodet.models.csp_pan import CSPPAN
from picodet.models.lc_pan import LCPAN


@pytest.mark.parametrize("neck", [CSPPAN, LCPAN])
def test_four_levels_of_equal_channels(neck):
    features = [torch.zeros(2, c, 64 // s, 96 // s) for c, s in ((8, 8), (16, 16), (32, 32))]
    with torch.inference_mode():
        levels = neck((8, 16, 32), 24, F.hardswish).eval()(features)
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2)]
    assert [tuple(x.shape) for x in levels] == [(2, 24, *size) for size in sizes]


def test_lc_pans_blocks_keep_hard_swish():
    neck = LCPAN((8, 8, 8), 8, F.relu6)
    assert neck.first_top_conv.act is F.relu6
    assert any(isinstance(layer, nn.Hardswish) for layer in neck.top_down_blocks.modules())
    assert not any(isinstance(layer, nn.ReLU6) for layer in neck.modules())


def test_csp_pans_blocks_take_the_activation():
    neck = CSPPAN((8, 8, 8), 8, F.relu6)
    acts = {layer.act for layer in neck.modules() if hasattr(layer, "act")}
    assert acts == {F.relu6}
