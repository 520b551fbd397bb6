"""Initial weights, compared with ppdet's as recorded by scripts/record/parameters.py."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tracing import SMALL

from picodet.converter.names.name_tables import name_table
from picodet.models.picodet import PicoDet
from picodet.training.init_weights import init_head, init_predictors, init_weights
from picodet.zoo.architectures import MOBILENET, S_LCNET, VARIANTS, S

SIGMAS = 6  # of the difference of two samples; the greatest of 3,404 is 3.7
ENOUGH = 256  # values of a normal distribution, one of them beyond a uniform one's bound


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_model(config, seed=0):
    model = PicoDet(config)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(3)  # what is not drawn shows
    init_weights(model, generator(seed))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS, ids=lambda config: config.name)
def test_every_distribution_is_ppdets(golden, config):
    """Mean, deviation and kind; constants to the last bit."""
    recorded = np.load(golden / "parameters.npz")
    names, facts = recorded[f"{config.name}/names"], recorded[f"{config.name}/facts"]
    table = name_table(config.backbone, config.neck, config.head)
    state = random_model(config).state_dict()
    compared = set()
    for theirs, (*_, mean, deviation, peak) in zip(names.tolist(), facts.tolist(), strict=True):
        if theirs.endswith("scale_reg"):
            continue
        name = table.to_ours(theirs).name
        compared.add(name)
        values = state[name].double().numpy()
        if deviation == 0 and values.size > 1:
            assert np.unique(values).astype(np.float32).tolist() == [np.float32(mean)], name
            continue
        count, root = values.size, math.sqrt(values.size)
        uniform = is_uniform(peak, deviation)
        if count >= ENOUGH:
            assert is_uniform(np.abs(values).max(), values.std()) == uniform, name
        if count >= 16:
            error = deviation * math.sqrt(2) / root
            assert abs(values.mean() - mean) < SIGMAS * error, name
            # a deviation's relative error: sqrt(1 / 2n) of a normal sample, sqrt(1 / 5n) of another
            relative = math.sqrt((0.2 if uniform else 0.5) * 2) / root
            assert abs(values.std() / deviation - 1) < SIGMAS * relative, name
    assert compared == {name for name in state if not name.endswith(("tracked", "project"))}


def is_uniform(peak, deviation):
    return peak < deviation * 1.8  # sqrt(3) and its noise; of 256 normal values the peak is 2.8


def test_a_depthwise_kernels_fan_is_of_one_channel_and_in_mobilenet_of_all():
    """By hand: sqrt(2 / 9); Paddle's default does not know of groups: sqrt(2 / (25 * 960))."""
    shuffle = random_model(S).backbone.stage4.block3.conv_dw.conv.weight
    assert shuffle.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.1)
    mobile = random_model(MOBILENET).backbone.conv16.bottleneck_conv.conv.weight
    assert mobile.std().item() == pytest.approx(math.sqrt(2 / (25 * 960)), rel=0.1)


def test_the_necks_kernels_are_within_their_bound():
    weight = random_model(S).neck.first_top_conv.dwconv.weight
    assert weight.abs().max().item() == pytest.approx(math.sqrt(6 / 25), rel=0.01)


def test_the_alignments_only_weight_is_within_the_bound_of_a_fan_of_one():
    """Too few for the comparison above: 40 values of a uniform distribution within sqrt(6)."""
    weights = [
        level.conv2.weight.item()
        for seed in range(10)
        for level in random_model(S_LCNET, seed).head.alignment
    ]
    assert 2.2 < max(map(abs, weights)) < math.sqrt(6)
    assert min(weights) < -1.5 < 1.5 < max(weights)


def test_at_first_a_class_is_in_one_cell_of_a_hundred():
    """-log(99); PicoHead's bins begin there too, the 2022 head's at 0."""
    old, new = random_model(SMALL).head.predictors[0].bias, random_model(S_LCNET).head.predictors
    assert old.unique().tolist() == pytest.approx([-4.59511985])
    assert new["classes0"].bias.sigmoid().unique().tolist() == pytest.approx([0.01])
    assert new["reg0"].bias.unique().tolist() == [0]


def test_the_same_generator_gives_the_same_weights():
    first, second, third = (random_model(SMALL, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(
        first["neck.conv_t.convs.0.conv.weight"], third["neck.conv_t.convs.0.conv.weight"]
    )


def changed(config, function):
    model = random_model(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    function(model, generator(9))
    return {
        name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])
    }


def test_for_other_classes_ppdet_begins_anew_with_what_does_not_fit():
    assert changed(SMALL, init_predictors) == {
        f"head.predictors.{level}.weight" for level in range(4)
    }
    small = replace(S_LCNET, classes=("a",))
    assert changed(small, init_predictors) == {
        f"head.predictors.classes{level}.weight" for level in range(4)
    }


def test_a_head_alone():
    names = changed(SMALL, init_head)
    assert names == {name for name in random_model(SMALL).state_dict() if is_weight_of_head(name)}


def is_weight_of_head(name):
    return name.startswith("head.") and name.endswith(
        ("conv.weight", *(f"{i}.weight" for i in range(4)))
    )
