import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from tracing import SMALL

from picodet.converter.names.name_tables import name_table
from picodet.models.picodet import PicoDet
from picodet.training.ema import ModelEMA
from picodet.training.recipes.schema import EMAConfig
from picodet.zoo.official import CONFIGS

REFERENCES = ("picodet_s_416_coco", "picodet_m_416_coco", "picodet_xs_320_coco_lcnet")
RUNS = {
    "as_config": ("threshold", "its own", None),
    "as_config_apply_every_2": ("threshold", "its own", 2),
    "cycle3_apply_every_2": ("threshold", 3, 2),
    "normal": ("normal", None, None),
    "exponential": ("exponential", None, None),
}


class One(nn.Module):
    """A parameter, a buffer and an integer."""

    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))
        self.register_buffer("mean", torch.tensor(2 * value))
        self.register_buffer("count", torch.tensor(7))

    def set(self, value):
        with torch.no_grad():
            self.weight.fill_(value)
            self.mean.fill_(2 * value)


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", REFERENCES)
def test_ema_is_ppdets(shared, name, run):
    """EMA and snapshots are equal bit for bit: the same operations, rounded alike."""
    recorded = json.loads((shared / "reference" / name / "ema.json").read_text())
    kind, cycle, every = RUNS[run]
    config = recorded["config"]
    cycle = config["cycle_epoch"] if cycle == "its own" else cycle
    model = PicoDet(CONFIGS[name])
    table = name_table(model.config.backbone, model.config.neck, model.config.head)
    ours = {key: table.to_ours(key).name for key in recorded["keys"]}
    ema = ModelEMA(model, EMAConfig(config["decay"], kind, cycle=cycle))
    state = model.state_dict()
    for at, row in enumerate(recorded[run]):
        for key, tensor in ((key, state[ours[key]]) for key in recorded["keys"]):
            first = np.array(recorded["w0"][key], np.float32)
            # NumPy keeps float32 here, as where it was recorded
            values = first * (1 + 0.05 * (at + 1))
            tensor.ravel()[:8] = torch.from_numpy(values.astype(np.float32))
        ema.update()
        assert (ema.steps, ema.decay()) == (row["step"], row["decay"])
        assert_same(ema.state_dict()["ema"], row["raw"], ours)
        if (every and (at + 1) % every == 0) or at == len(recorded[run]) - 1:
            assert_same(ema.snapshot(), row["applied"], ours)
            after = row["after_apply"]
            assert (ema.steps, ema.applications) == (after["step"], after["epoch"])


def assert_same(found, expected, ours):
    for key, values in expected.items():
        assert found[ours[key]].ravel()[:8].tolist() == values


def test_from_zero_the_correction_takes_the_last_decay_for_all():
    """By hand: decays 0.1 and 2/11; the EMA of 1 and 1 becomes more than 1."""
    model = One(1.0)
    ema = ModelEMA(model, EMAConfig())
    ema.update()
    assert ema.snapshot()["weight"].item() == 1
    ema.update()
    raw = 2 / 11 * 0.9 + 9 / 11
    assert ema.snapshot()["weight"].item() == pytest.approx(raw / (1 - (2 / 11) ** 2), abs=1e-7)


def test_other_kinds_by_hand():
    """One update from zero: a normal decay is corrected, an exponential one is not."""
    applied = {}
    for kind in ("normal", "exponential"):
        ema = ModelEMA(One(1.0), EMAConfig(0.75, kind))
        ema.update()
        applied[kind] = ema.snapshot()["weight"].item(), ema.decay()
    assert applied["normal"] == (1, 0.75)
    decay = 0.75 * (1 - math.exp(-1 / 2000))
    assert applied["exponential"] == (pytest.approx(1 - decay, abs=1e-7), pytest.approx(decay))


def test_after_many_steps_the_correction_is_too_much_by_a_ten_thousandth():
    """1 / (1 - (2000 / 2009)^2000); it comes to 1 / (1 - e^-9)."""
    model = One(1.0)
    ema = ModelEMA(model, EMAConfig())
    for _ in range(2000):
        ema.update()
    assert ema.snapshot()["weight"].item() == pytest.approx(1.000126, abs=2e-6)


def test_without_an_update_zeros_are_applied_and_not_counted():
    ema = ModelEMA(One(1.0), EMAConfig(cycle=1))
    applied = ema.snapshot()
    assert (applied["weight"].item(), applied["mean"].item(), applied["count"].item()) == (0, 0, 7)
    assert ema.applications == 0


def test_from_the_parameters_nothing_is_corrected():
    model = One(1.0)
    ema = ModelEMA(model, EMAConfig(start="parameters"))
    assert ema.snapshot()["weight"].item() == 1
    model.set(2.0)
    ema.update()
    assert ema.snapshot()["weight"].item() == pytest.approx(0.1 * 1 + 0.9 * 2)
    assert ema.snapshot()["mean"].item() == pytest.approx(0.1 * 2 + 0.9 * 4)


def test_the_application_that_ends_a_cycle_still_gives_the_average():
    model = One(1.0)
    ema = ModelEMA(model, EMAConfig(cycle=2))
    ema.update()
    ema.snapshot()
    ema.update()
    assert ema.snapshot()["weight"].item() > 1
    assert (ema.steps, ema.applications) == (0, 0)
    model.set(5.0)
    ema.update()
    assert ema.snapshot()["weight"].item() == pytest.approx(5)


def test_from_the_parameters_a_new_cycle_begins_with_those_of_then():
    model = One(1.0)
    ema = ModelEMA(model, EMAConfig(start="parameters", cycle=1))
    ema.update()
    model.set(3.0)
    ema.snapshot()
    assert ema.snapshot()["weight"].item() == 3


def test_what_is_applied_does_not_change_later():
    model = One(1.0)
    ema = ModelEMA(model, EMAConfig())
    ema.update()
    applied = ema.snapshot()
    model.set(9.0)
    model.count.fill_(8)
    ema.update()
    assert (applied["weight"].item(), applied["count"].item()) == (1, 7)


def test_it_goes_on_from_its_state_as_if_never_stopped(tmp_path: Path):
    model = PicoDet(SMALL)
    ema = ModelEMA(model, EMAConfig(cycle=3))
    for _ in range(3):
        ema.update()
    ema.snapshot()
    torch.save(ema.state_dict(), tmp_path / "state.pth")
    again = ModelEMA(model, EMAConfig(cycle=3))
    again.load_state_dict(torch.load(tmp_path / "state.pth"))
    for one in (ema, again):
        one.update()
        one.snapshot()
    assert (ema.steps, ema.applications) == (again.steps, again.applications) == (4, 2)
    ours, others = ema.snapshot(), again.snapshot()
    assert ours.keys() == model.state_dict().keys()
    assert all(torch.equal(ours[name], others[name]) for name in ours)
    assert ema.steps == 0
