"""Weights that ppdet has to be given in its own form; what it makes of them is in test_paddle."""

from dataclasses import replace

import numpy as np
import own_recording
import pytest
import torch
from tracing import filled, seeded_checkpoint

from picodet.alignment.recording.index import Settings
from picodet.alignment.reference import record as reference
from picodet.alignment.session import Fed
from picodet.formats import pdparams

CONFIG = replace(
    own_recording.CONFIG,
    preprocessing=replace(own_recording.CONFIG.preprocessing, interp=1),
)


@pytest.fixture
def orders(monkeypatch):
    """What Paddle's process is asked for, and the arrays that it finds."""
    orders = []

    def keep(order, python, progress):
        arrays = pdparams.read(order.reference) if order.reference.is_file() else {}
        orders.append((order, arrays))

    monkeypatch.setattr(reference, "record_in_paddle", keep)
    return orders


def record(path, size=None, float64=False):
    order = Fed(None, None, float64).order(path, path.with_name("out.safetensors"), size, 0)
    reference.record(order, None, lambda *_: None)
    return order


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
@pytest.mark.parametrize("float64", [False, True])
def test_a_file_of_ours_becomes_a_checkpoint_with_its_own_settings(
    orders, tmp_path, suffix, float64
):
    model = filled(CONFIG, seeded_checkpoint(CONFIG))
    path = own_recording.save(model, tmp_path / f"model{suffix}")
    asked = record(path, (416, 416), float64)
    ((order, arrays),) = orders
    assert order.reference.name == f"model{suffix}.pdparams"
    assert not order.reference.exists()  # any more
    mean, std = CONFIG.preprocessing.mean, CONFIG.preprocessing.std
    assert order.settings == Settings((64, 64), 1, mean, std)
    assert order.classes == CONFIG.classes
    assert replace(order, reference=path, settings=None, classes=None) == asked
    assert set(arrays) == set(seeded_checkpoint(CONFIG))
    stem = model.backbone.stem.conv.weight.detach().numpy()
    assert np.array_equal(arrays["backbone._conv1._conv.weight"], stem)


def test_weights_that_do_not_say_their_size_take_the_models(pristine, orders, tmp_path):
    torch.save(pristine.state_dict(), tmp_path / "weights.pth")
    record(tmp_path / "weights.pth", (96, 96))
    ((order, _),) = orders
    assert order.settings.size == (96, 96)


@pytest.mark.parametrize("name", ["x.pdparams", "x.pdema", "training"])
def test_what_is_ppdets_goes_as_it_is(orders, tmp_path, name):
    (tmp_path / "training").mkdir()
    for file in ("x.pdparams", "x.pdema", "training/model_final.pdparams"):
        (tmp_path / file).write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pdparams, "read", lambda path: {})
        asked = record(tmp_path / name, (320, 320))
    assert [order for order, _ in orders] == [asked]
