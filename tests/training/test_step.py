"""Steps in half precision on a CPU: skipped steps, and the limit on them."""

import json

import pytest
import torch
from small_training import batch, training

from picodet.models.picodet import PicoDet
from picodet.training import logger, step, trainer
from picodet.training.criterion import criterion
from picodet.training.nan_report import NotFiniteError

FEW = 3  # steps that may be left out here
FIRST = "backbone.stem.conv.weight"


@pytest.fixture
def scaler():
    return torch.amp.GradScaler("cpu")


@pytest.fixture
def halved(tmp_path, monkeypatch, scaler):
    """A training with a loss scale, and a switch that makes the gradients of its head NaN."""
    monkeypatch.setattr(step, "MAX_SKIPPED", FEW)
    found = training(tmp_path, save_steps=99)
    found.stepper.scaler = scaler
    spoiled = {"now": True}
    weight = next(found.model.head.parameters())
    weight.register_hook(lambda gradient: gradient * float("nan") if spoiled["now"] else gradient)
    return found, spoiled


def stepped(found, iteration):
    recipe, model = found.options.recipe, found.model.train()
    losses = criterion(
        recipe.assignment, recipe.losses, model.head.integral, found.normalizer, 1, 0
    )
    return found.stepper([batch(0, iteration)], losses, iteration, 0.01)


def test_what_is_left_out_for_ever_ends_like_a_loss_that_is_nan(halved):
    found, _ = halved
    before = found.model.head.state_dict()
    assert [stepped(found, i).skipped for i in range(FEW - 1)] == [1, 2]
    with pytest.raises(NotFiniteError) as raised:
        stepped(found, FEW - 1)
    text = str(raised.value)
    assert text.startswith(f"iteration {FEW - 1}: the gradients of {FEW} steps in a row are not")
    assert "in half precision, down to a loss scale of 8.2e+03, and all were skipped" in text
    assert "first tensor with NaN or infinity: the gradient of head." in text
    assert "Images of the batch: 20, 21. Nothing was updated" in text
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in found.model.head.named_parameters()
    )


def test_a_step_that_is_taken_begins_the_count_anew(halved):
    found, spoiled = halved
    skipped = []
    for iteration in range(2 * FEW):
        spoiled["now"] = iteration % FEW != FEW - 1
        skipped.append(stepped(found, iteration).skipped)
    assert skipped == [1, 2, 0, 1, 2, 0]


def test_a_skipped_first_step_leaves_no_momentum(halved):
    """As without the skipped step: torch alone would use uninitialized momentum buffers."""
    found, spoiled = halved
    stepped(found, 0)
    spoiled["now"] = False
    assert not any(momentum.any() for momentum in found.optimizer.momentum_buffers().values())
    before = {name: tensor.clone() for name, tensor in found.model.named_parameters()}
    stepped(found, 0)
    (weight,) = (p for name, p in found.model.named_parameters() if name == FIRST)
    moved = before[FIRST] - 0.01 * found.optimizer.momentum_buffers()[FIRST]
    assert torch.allclose(weight, moved, rtol=0, atol=1e-6)
    assert 0 < found.optimizer.momentum_buffers()[FIRST].abs().max() < 1e3


def test_a_right_training_ends_before_its_scale_does(scaler):
    """From the scale that it begins with, and from one that has grown 65,536 times."""
    assert scaler.get_scale() * 65_536 / 2**step.MAX_SKIPPED <= 1


def test_log_and_progress_line_report_skipped_steps(halved, monkeypatch):
    found, _ = halved
    monkeypatch.setattr(trainer, "LOG_INTERVAL", 1)
    skipped = []
    found.show = lambda each: skipped.append(each.skipped)
    with pytest.raises(NotFiniteError):
        found.run()
    assert skipped == [1, 2]
    rows = (found.options.out / logger.FILE).read_text().splitlines()
    assert [json.loads(row)["skipped"] for row in rows] == [1, 2]


def test_without_a_scale_nothing_is_left_out(tmp_path):
    found = training(tmp_path, amp=True)  # bfloat16 on a CPU
    assert isinstance(found.model, PicoDet)
    assert stepped(found, 0).skipped == 0
