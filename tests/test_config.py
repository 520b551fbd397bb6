"""The architectures are ppdet's: channels by its formula, and its numbers of parameters."""

import json

import pytest

from picodet.config import check_input_size, make_divisible
from picodet.models.shapes import shapes_of
from picodet.zoo.architectures import ESNET_X0_75, ESNET_X1_0, ESNET_X1_25, VARIANTS
from picodet.zoo.official import CONFIGS

# ppdet's own: scale, and the channel ratio of each block (configs/picodet/legacy_model)
S = (0.75, [0.875, 0.5, 0.5, 0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
M = (1.0, [0.875, 0.5, 1.0, 0.625, 0.5, 0.75, 0.625, 0.625, 0.5, 0.625, 1.0, 0.625, 0.75])
L = (1.25, M[1])


@pytest.mark.parametrize(
    ("backbone", "numbers"), [(ESNET_X0_75, S), (ESNET_X1_0, M), (ESNET_X1_25, L)]
)
def test_channels_are_those_of_ppdets_formula(backbone, numbers):
    scale, ratios = numbers
    left = list(ratios)
    for stage, base in zip(backbone.stages, (128, 256, 512), strict=True):
        channels = make_divisible(base * scale, 16)
        assert stage.channels == channels
        expected = [make_divisible(int(channels * left.pop(0)), 8) for _ in stage.mid_channels]
        assert stage.mid_channels == tuple(expected)
    assert not left


@pytest.mark.parametrize(
    ("channels", "divisor", "expected"),
    [(24, 8, 24), (26, 8, 24), (28, 8, 32), (11.2, 8, 16), (3, 8, 8), (96, 16, 96), (8.4, 8, 8)],
)
def test_the_nearest_multiple_that_is_not_much_below(channels, divisor, expected):
    """11.2 would become 8, which is below 0.9 of it."""
    assert make_divisible(channels, divisor) == expected


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_as_many_as_ppdet_has(golden, name):
    """ppdet's numbers less the four unused scale_reg."""
    counts = json.loads((golden / "counts.json").read_text())
    assert shapes_of(CONFIGS[name], "detector")[1] == counts[name]["parameters"] - 4


def test_variants_have_names_of_their_own_and_activations_that_agree():
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS) == 16
    for activation in ("relu6", "leaky_relu"):
        found = [v.name for v in VARIANTS if v.activation == activation]
        assert found == [v.name for v in VARIANTS if v.backbone.name.endswith(activation)]


@pytest.mark.parametrize("size", [(32, 32), (800, 608), (8192, 32)])
def test_sizes_that_a_model_takes(size):
    check_input_size(size)


@pytest.mark.parametrize("size", [(0, 32), (32, -32), (33, 32), (8224, 32)])
def test_and_others(size):
    with pytest.raises(ValueError, match=f"input size {size[0]}x{size[1]}: both sides must be"):
        check_input_size(size)
