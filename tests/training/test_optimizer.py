from dataclasses import replace

import numpy as np
import pytest
import torch
from tracing import SMALL

from picodet.converter.names.name_tables import name_table
from picodet.errors import PicoDetError
from picodet.models.picodet import PicoDet
from picodet.training.optimizer import decayed_parameters, optimizer
from picodet.training.recipes.schema import OptimizerConfig
from picodet.zoo.architectures import MOBILENET, RESNET, VARIANTS

DECAY = float(np.float32(4e-5))


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS, ids=lambda config: config.name)
def test_what_decays_is_what_decays_in_ppdet(golden, config):
    """Of all trained parameters (scripts/record/parameters.py); no learning rate is multiplied."""
    recorded = np.load(golden / "parameters.npz")
    names, facts = recorded[f"{config.name}/names"], recorded[f"{config.name}/facts"]
    table = name_table(config.backbone, config.neck, config.head)
    with torch.device("meta"):
        model = PicoDet(config)
    parameters = {name for name, _ in model.named_parameters()}
    trained, own = set(), set()
    for theirs, (is_trained, decay, factor, *_) in zip(names.tolist(), facts, strict=True):
        name = "" if theirs.endswith("scale_reg") else table.to_ours(theirs).name
        if is_trained and name:
            assert factor == 1
            trained.add(name)
            if np.isnan(decay):
                own.add(name)
            else:
                assert decay == 0
    assert trained == parameters
    assert own == decayed_parameters(model)


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS, ids=lambda config: config.name)
def test_three_steps_end_where_ppdets_do(golden, config):
    """In float64, every parameter, by live ppdet's optimizer: scripts/record/parameters.py."""
    recorded = np.load(golden / "parameters.npz")
    names, ends = recorded[f"{config.name}/names"], recorded[f"{config.name}/stepped"]
    table = name_table(config.backbone, config.neck, config.head)
    model = PicoDet(config).double()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.fill_(1)
    trained = optimizer(model, OptimizerConfig())
    for lr, gradient in ((0.4, 0.5), (0.1, -0.25), (0.2, 1.0)):
        for parameter in parameters.values():
            parameter.grad = torch.full_like(parameter, gradient)
        trained.step(lr)
    expected = {
        table.to_ours(name).name: end
        for name, end in zip(names.tolist(), ends.tolist(), strict=True)
        if not name.endswith(("scale_reg", "_mean", "_variance"))
    }
    assert expected.keys() == parameters.keys()
    for name, parameter in parameters.items():
        assert abs(parameter.flatten()[0].item() - expected[name]) < 1e-15, name


def test_mobilenets_backbone_does_not_decay_at_all():
    """Its conv_decay of 0.0 is a decay of its own; ResNet's convolutions have none of theirs."""
    backbones = {}
    for config in (MOBILENET, RESNET):
        with torch.device("meta"):
            names = decayed_parameters(PicoDet(config))
        backbones[config] = [name for name in names if name.startswith("backbone.")]
    assert backbones[MOBILENET] == []
    assert len(backbones[RESNET]) == 23  # 3 of the stem, 16 in blocks, 4 in shortcuts


def test_three_steps_by_hand():
    """v = 0.9 v + g + 4e-5 p, p = p - lr v, with changing lr; an exempt norm has no decay."""
    model = PicoDet(SMALL).double()
    conv, norm = model.backbone.stem.conv.weight, model.backbone.stem.bn.weight
    chosen = {conv: 4e-5, norm: 0.0}
    expected = {p: p.detach().numpy().copy() for p in chosen}
    velocity = {p: np.zeros(p.shape) for p in chosen}
    trained = optimizer(model, OptimizerConfig())
    drawn = np.random.RandomState(0)
    for lr in (0.1, 0.4, 0.02):
        for p, decay in chosen.items():
            gradient = drawn.randn(*p.shape)
            p.grad = torch.from_numpy(gradient)
            decayed = gradient + np.float64(np.float32(decay)) * expected[p]
            velocity[p] = np.float64(np.float32(0.9)) * velocity[p] + decayed
            expected[p] -= lr * velocity[p]
        trained.step(lr)
    for p in chosen:
        assert np.abs(p.detach().numpy() - expected[p]).max() < 1e-15
    momentum_buffers = trained.momentum_buffers()
    assert momentum_buffers.keys() == {"backbone.stem.conv.weight", "backbone.stem.bn.weight"}
    assert (
        np.abs(momentum_buffers["backbone.stem.conv.weight"].numpy() - velocity[conv]).max() < 1e-15
    )


def test_without_a_gradient_nothing_moves_or_decays():
    model = PicoDet(SMALL)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer(model, OptimizerConfig()).step(0.4)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_rates_are_multiplied_by_the_longest_beginning():
    model = PicoDet(SMALL)
    factors = {"backbone.": 0.1, "backbone.stage4.": 0.5}
    trained = optimizer(model, OptimizerConfig(), factors)
    trained.set_lr(0.4)
    lrs = {
        name: (group["lr"], group["weight_decay"])
        for group in trained.sgd.param_groups
        for name in group["param_names"]
    }
    assert lrs["backbone.stem.conv.weight"] == (pytest.approx(0.04), DECAY)
    assert lrs["backbone.stage4.block1.se.reduce.bias"] == (pytest.approx(0.2), DECAY)
    assert lrs["backbone.stem.bn.bias"] == (pytest.approx(0.04), 0)
    assert lrs["neck.conv_t.convs.0.bn.bias"] == (0.4, DECAY)
    assert len(lrs) == len(list(model.parameters()))


def test_an_unknown_beginning_is_an_error():
    with pytest.raises(PicoDetError, match=r"'bakbone\.': no parameter has this prefix"):
        optimizer(PicoDet(SMALL), OptimizerConfig(), {"bakbone.": 0.1})


def test_what_is_frozen_is_left_out():
    model = PicoDet(SMALL)
    model.backbone.requires_grad_(False)
    trained = optimizer(model, OptimizerConfig())
    names = [name for group in trained.sgd.param_groups for name in group["param_names"]]
    assert not any(name.startswith("backbone.") for name in names)
    assert len(names) == len(list(model.neck.parameters()) + list(model.head.parameters()))


def test_it_goes_on_from_its_state_bit_for_bit():
    config = replace(SMALL, classes=("a",))
    torch.manual_seed(0)
    models = [PicoDet(config), PicoDet(config)]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (optimizer(model, OptimizerConfig()) for model in models)
    for model in models:
        torch.manual_seed(1)
        for p in model.parameters():
            p.grad = torch.randn_like(p)
    first.step(0.1)
    second.step(0.1)
    third = optimizer(models[1], OptimizerConfig())
    third.load_momentum_buffers(second.momentum_buffers())
    first.step(0.2)
    third.step(0.2)
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(p, q)
    first.zero_grad()
    assert all(p.grad is None for p in models[0].parameters())
