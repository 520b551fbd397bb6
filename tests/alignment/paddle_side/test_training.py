"""Recording ppdet's training in float64 patches Paddle only temporarily. Paddle is mocked."""

import importlib
import sys
from unittest.mock import MagicMock

import pytest

HOMES = (
    "paddle",
    *("ppdet", "ppdet.modeling", "ppdet.modeling.assigners", "ppdet.modeling.layers"),
    *("ppdet.modeling.backbones", "ppdet.modeling.heads", "ppdet.modeling.heads.pico_head"),
    *(
        f"ppdet.modeling.backbones.{name}"
        for name in ("esnet", "lcnet", "mobilenet_v3", "resnet", "shufflenet_v2")
    ),
    *("ppdet.modeling.losses", "ppdet.modeling.losses.varifocal_loss"),
    *("ppdet.modeling.necks", "ppdet.modeling.necks.csp_pan", "ppdet.modeling.necks.lc_pan"),
    *("ppdet.optimizer", "ppdet.optimizer.optimizer"),
)
OURS = ("picodet.alignment.paddle_side.model", "picodet.alignment.paddle_side.training")


@pytest.fixture
def training(monkeypatch):
    """The module, and a function that returns Paddle's settings: a default and two functions."""
    for name in HOMES:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    heads = sys.modules["ppdet.modeling.heads"]
    heads.pico_head = sys.modules["ppdet.modeling.heads.pico_head"]
    heads.pico_head.PicoHeadV2 = type("PicoHeadV2", (), {})
    paddle = sys.modules["paddle"]
    default = ["float32"]
    paddle.get_default_dtype = lambda: default[0]
    paddle.set_default_dtype = lambda value: default.__setitem__(0, value)
    for name in OURS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(OURS[1])

    def settings():
        return (
            default[0],
            paddle.nn.functional.adaptive_avg_pool2d,
            heads.pico_head.generate_anchors_for_grid_cell,
        )

    yield module, settings
    for name in OURS:
        sys.modules.pop(name, None)


def test_float64_ends_with_the_recording(training):
    module, settings = training
    before = settings()
    with module.ready_to_train(MagicMock(), float64=True):
        assert settings()[0] == "float64"
        assert settings()[1:] != before[1:]
    assert settings() == before


def test_it_ends_with_an_error_too(training):
    module, settings = training
    before = settings()
    with pytest.raises(KeyError), module.ready_to_train(MagicMock(), float64=True):
        raise KeyError
    assert settings() == before


def test_float32_patches_nothing(training):
    module, settings = training
    before = settings()
    with module.ready_to_train(MagicMock(), float64=False):
        assert settings() == before
