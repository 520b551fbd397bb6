import math

import numpy as np
import pytest

from picodet.training.recipes.lr_schedule import learning_rates, linear_scaling_rule
from picodet.training.recipes.schema import Schedule

# scripts/record/rates.py has the same in ppdet's words
RECORDED = {
    "linear": (Schedule(0.4, epochs=5, decay_epochs=5, warmup_steps=30), 20),
    "exponential_and_plateau": (
        Schedule(
            0.2,
            epochs=10,
            decay_epochs=10,
            warmup="exponential",
            warmup_steps=0,
            warmup_epochs=2,
            end_ratio=0.08,
            plateau_epochs=3,
        ),
        15,
    ),
    "warmed_up_by_epochs": (
        Schedule(0.3, 6, 6, warmup_steps=0, warmup_epochs=2, warmup_factor=1 / 3),
        11,
    ),
    "not_warmed_up": (Schedule(0.1, epochs=3, decay_epochs=3, warmup_steps=0), 7),
    "warmed_up_too_long": (Schedule(0.32, epochs=4, decay_epochs=2, warmup_steps=30), 10),
}


@pytest.mark.parametrize("name", RECORDED)
def test_every_rate_is_ppdets(golden, name):
    """To the last bit: the same operations in the same order."""
    schedule, steps_per_epoch = RECORDED[name]
    recorded = np.load(golden / "rates.npz")[name]
    lr = learning_rates(schedule, steps_per_epoch)
    assert [lr(step) for step in range(len(recorded))] == recorded.tolist()


@pytest.mark.parametrize(
    ("name", "base_lr"),
    [
        ("picodet_s_416_coco", 0.4),
        ("picodet_m_416_coco", 0.4),
        ("picodet_xs_320_coco_lcnet", 0.32),
    ],
)
def test_rates_of_whole_trainings_are_ppdets(shared, name, base_lr):
    recorded = np.load(shared / "reference" / name / "lr.npz")
    epochs = int(recorded["epochs"])
    lr = learning_rates(Schedule(base_lr, epochs, epochs), int(recorded["steps_per_epoch"]))
    found = np.array([lr(step) for step in recorded["iters"].tolist()])
    assert len(found) > 600
    assert np.abs(found - recorded["lr"]).max() < 1e-12


def test_a_training_shorter_than_its_decay_never_gets_to_the_end():
    """As L's: 250 epochs of 300, 6.7 per cent of the base learning rate are left."""
    lr = learning_rates(Schedule(0.3, epochs=250, decay_epochs=300), 1000)
    assert lr(250_000) / 0.3 == pytest.approx(0.0671, abs=5e-5)


def test_the_rate_falls_after_the_last_iteration_of_the_cosine_no_more():
    lr = learning_rates(Schedule(1.0, epochs=2, decay_epochs=2, warmup_steps=5), 10)
    assert lr(19) == lr(20) == lr(1000) > 0


def test_per_epoch_the_rate_stays_from_an_epochs_first_step_to_its_last():
    """The cosine of whole epochs from the first one on; warmed up by the step all the same."""
    schedule = Schedule(0.4, epochs=4, decay_epochs=4, warmup_steps=3, per="epoch")
    lr = learning_rates(schedule, 10)
    assert [lr(step) for step in range(3)] == pytest.approx([0.04, 0.16, 0.28])
    assert {lr(step) for step in range(3, 10)} == {0.4}
    assert {lr(step) for step in range(10, 20)} == {0.2 * (1 + math.cos(math.pi / 4))}
    assert {lr(step) for step in range(30, 60)} == {0.2 * (1 + math.cos(3 * math.pi / 4))}


def test_linear_rule():
    assert linear_scaling_rule(0.4, recipe_total=320, actual_total=80) == 0.1
