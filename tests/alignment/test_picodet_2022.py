"""A PicoDet of 2022 compared with its recording: right, and with one fault each."""

import copy
from dataclasses import replace

import own_recording
import pytest

from picodet.alignment.align import align
from picodet.alignment.recording.reader import Recording
from picodet.alignment.result import UNKNOWN_CAUSE
from picodet.models.head import HeadV2Output
from picodet.models.layers import hard_sigmoid
from picodet.models.pico_head_v2 import Alignment, PicoFeatV2, PicoSE
from picodet.zoo.architectures import XS_LCNET

pytestmark = pytest.mark.slow

CONFIG = replace(XS_LCNET, classes=("a", "b", "c"), input_size=(64, 64))


@pytest.fixture(scope="module")
def right():
    return own_recording.pristine(CONFIG)


@pytest.fixture
def model(right):
    return copy.deepcopy(right)


@pytest.fixture(scope="module")
def files(right, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aligned")
    own_recording.save(right, folder / "model.pth")
    own_recording.record(right, folder / "full.safetensors")
    own_recording.record(right, folder / "summary.safetensors", samples=16)
    return folder


def compare(model, files, name="full"):
    with Recording(files / f"{name}.safetensors") as recording:
        return align(model, files / "model.pth", recording)


def differing(comparison):
    return [stage.name for stage in comparison.stages if stage.verdict != "aligned"]


@pytest.mark.parametrize("name", ["full", "summary"])
def test_it_is_aligned(model, files, name):
    comparison = compare(model, files, name)
    assert not differing(comparison)
    assert comparison.unpaired == ()
    assert len(comparison.layers) == (
        350 if name == "full" else 349
    )  # the head counts if it is run on the reference's inputs
    decoding = next(stage.summary for stage in comparison.stages if stage.name == "decoding")
    assert decoding.startswith("85 boxes from the reference's heads") == (name == "full")


def no_epsilon(p, q):
    return (p * q).sqrt()


def greater_epsilon(p, q):
    return (p * q + 1e-6).sqrt()


def no_root(p, q):
    return p * q


def no_alignment(p, _):
    return p


@pytest.mark.parametrize(
    ("formula", "stages"),
    [
        (no_epsilon, ["decoding"]),  # by the probe: no score of the image is near zero
        (greater_epsilon, ["decoding"]),
        (no_root, ["heads", "decoding"]),
        (no_alignment, ["heads", "decoding"]),
    ],
)
def test_a_wrong_score(model, files, monkeypatch, formula, stages):
    def scores(self):
        pairs = zip(self.logits, self.alignment, strict=True)
        return tuple(formula(x.sigmoid(), y.sigmoid()) for x, y in pairs)

    monkeypatch.setattr(HeadV2Output, "scores", scores)
    comparison = compare(model, files)
    assert [name for name in differing(comparison) if name in stages] == stages
    assert "layers" not in differing(comparison)
    found = next(stage.findings for stage in comparison.stages if stage.name == "decoding")
    assert found[0].name == "probe: scores"
    assert not any(UNKNOWN_CAUSE in finding.diagnosis for finding in found)


def exchange_squeezes(model):
    first, second = (model.head.conv_feat.se[level].fc for level in (1, 2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        a.data, b.data = b.data.clone(), a.data.clone()


class HardGate(PicoSE):
    def forward(self, x, means):
        return self.conv(x * hard_sigmoid(self.fc(means)))


class NotActivated(Alignment):
    def forward(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x))))


class BothExcited(PicoFeatV2):
    def forward(self, x, level):
        _, excited = super().forward(x, level)
        return excited + 0, excited


def of_class(path, kind):
    def change(model):
        model.get_submodule(path).__class__ = kind

    change.__name__ = kind.__name__
    return change


@pytest.mark.parametrize(
    ("change", "guilty", "diagnosis"),
    [
        (
            exchange_squeezes,
            ["head.conv_feat.se.1.fc", "head.conv_feat.se.2.fc"],
            "exchanged with the reference's head.conv_feat.se.2.fc",
        ),
        (
            of_class("head.conv_feat.se.0", HardGate),
            ["head.conv_feat.se.0"],
            "the reference has input 0 times a sigmoid of fc",
        ),
        (
            of_class("head.alignment.3", NotActivated),
            ["head.alignment.3"],
            "has hard-swish after bn1",
        ),
        (
            of_class("head.conv_feat", BothExcited),
            ["head.conv_feat"] * 4,
            "hard-swish after se.3; the reference has hard-swish after levels.3.pw1",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_only_the_layer_that_is_wrong_is_guilty(model, files, change, guilty, diagnosis):
    change(model)
    comparison = compare(model, files)
    found = [layer for layer in comparison.layers if layer.status == "guilty"]
    assert [layer.path for layer in found] == guilty
    assert any(diagnosis in layer.diagnosis for layer in found), found[0].diagnosis
    assert ("weights" in differing(comparison)) == (change is exchange_squeezes)
