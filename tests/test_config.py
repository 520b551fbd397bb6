import pytest

from picodet.config import CONFIGS, VARIANTS
from picodet.models.picodet import PicoDet

# ppdet's own: scale, and the channel ratio of each block (configs/picodet/legacy_model)
S = (0.75, [0.875, 0.5, 0.5, 0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
M = (1.0, [0.875, 0.5, 1.0, 0.625, 0.5, 0.75, 0.625, 0.625, 0.5, 0.625, 1.0, 0.625, 0.75])
L = (1.25, M[1])


def make_divisible(value, divisor):
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@pytest.mark.parametrize(("variant", "numbers"), list(zip(VARIANTS, (S, M, L), strict=True)))
def test_channels_are_those_of_ppdets_formula(variant, numbers):
    scale, ratios = numbers
    left = list(ratios)
    for stage, base in zip(variant.stages, (128, 256, 512), strict=True):
        channels = make_divisible(base * scale, 16)
        assert stage.channels == channels
        expected = [make_divisible(int(channels * left.pop(0)), 8) for _ in stage.mid_channels]
        assert stage.mid_channels == tuple(expected)
    assert not left


@pytest.mark.parametrize(
    ("name", "parameters"),  # of ppdet's notes, less the four scale_reg that are never used
    [
        ("picodet_s_416_coco", 992_719),
        ("picodet_m_416_coco", 2_152_558),
        ("picodet_l_640_coco", 3_305_013),
        ("picodet_s_320_voc", 969_439),
        ("picodet_s_192_pedestrian", 962_067),
    ],
)
def test_parameters(name, parameters):
    model = PicoDet(CONFIGS[name])
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters - 4
