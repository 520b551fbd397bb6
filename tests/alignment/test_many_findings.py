"""Findings in nearly every layer: one cause is reported once, and diagnosis is bounded."""

import numpy as np
import own_recording
import pytest
import torch
from torch import nn

from picodet.alignment.align import align
from picodet.alignment.diagnosis import diagnose
from picodet.alignment.diagnosis.replay import FailingLayer
from picodet.alignment.recording.reader import Recording

pytestmark = pytest.mark.slow


@pytest.fixture
def compare(model, reference, tmp_path, monkeypatch):
    """The comparison of a model, and how often layers were run again."""

    def compare():
        runs = []
        right = FailingLayer.produced_tensors
        monkeypatch.setattr(
            FailingLayer,
            "produced_tensors",
            lambda self, *args: runs.append(self.path) or right(self, *args),
        )
        file = own_recording.save(model, tmp_path / "model.pth")
        with Recording(reference) as recording:
            return align(model, file, recording), len(runs)

    return compare


def change_weights(model, change):
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and not name.endswith("project"):
                tensor.copy_(torch.from_numpy(change(tensor.numpy())))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda a: a * np.float32(0.9998), "the reference's times 0.9998"),
        (lambda a: np.round(a.astype("f8"), 4).astype("f4"), "the reference's, rounded to 4 dec"),
    ],
    ids=["factor", "decimals"],
)
def test_one_cause_is_reported_once(model, compare, change, cause):
    change_weights(model, change)
    comparison, runs = compare()
    weights = comparison.stages[0]
    assert len(weights.findings) < 20
    assert weights.findings[0].diagnosis.startswith(f"one cause: the model's are {cause}")
    guilty = comparison.guilty
    assert len(guilty) > 100
    diagnoses = [layer.diagnosis for layer in guilty]
    assert sum(text.startswith("one cause") for text in diagnoses) > 0.9 * len(guilty)
    assert not any("eps" in text or text.endswith("factor of 1") for text in diagnoses)
    assert runs <= 6 * len(guilty)


def test_attempts_are_counted(model, compare, monkeypatch):
    monkeypatch.setattr(diagnose, "MAX_ATTEMPTS", 40)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            layer.register_forward_hook(lambda _, __, output: output * 1.01)
    comparison, runs = compare()
    diagnoses = [layer.diagnosis for layer in comparison.guilty]
    assert len(diagnoses) > 50
    assert sum(text.startswith("not examined: ") for text in diagnoses) > 40
    # each guilty layer once, for its plots, and each attempt in both precisions
    assert runs <= len(diagnoses) + 2 * 40 + 2


def test_the_cause_of_one_layer_is_tried_first_in_the_next(model, compare):
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.eps = 1e-4
    comparison, runs = compare()
    diagnoses = {layer.diagnosis for layer in comparison.guilty}
    assert len(diagnoses) == 1
    assert diagnoses.pop().startswith("eps is 0.0001; the reference's is 9.9999997e-06")
    assert runs <= 6 * len(comparison.guilty)
