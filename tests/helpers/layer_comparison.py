"""Holds a model against a recording, layer by layer."""

import own_recording
import torch

from picodet.alignment.gap import Tolerance
from picodet.alignment.layered import pair_layers
from picodet.alignment.layers import compare_layers
from picodet.alignment.recorded import Recorded
from picodet.alignment.recording import Recording

NOISE = Tolerance(30.0)


def compare(model, path, tolerance=NOISE, change=lambda index: index):
    steps = []
    with Recording(path) as recording:
        recording.index = change(recording.index)
        recorded = Recorded(recording, pair_layers(recording.index, own_recording.table()))
        images = torch.from_numpy(own_recording.noise()).to(next(model.parameters()))
        result = compare_layers(model, recorded, images, tolerance, steps.append)
    assert steps == list(range(1, len(steps) + 1))
    return result


def guilty(result):
    return [layer.path for layer in result.layers if layer.status == "guilty"]
