"""Compares a model with a recording, layer by layer."""

import own_recording
import torch

from picodet.alignment.checks.layers import compare_layers
from picodet.alignment.pairing.by_name import pair_by_name
from picodet.alignment.recording.reader import Recording
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.tolerance import Tolerance

NOISE = Tolerance(30.0)


def compare(model, path, tolerance=NOISE, change=lambda index: index):
    steps = []
    with Recording(path) as recording:
        recording.index = change(recording.index)
        recorded = ReferenceTensors(recording, pair_by_name(recording.index, own_recording.table()))
        images = torch.from_numpy(own_recording.random_image()).to(next(model.parameters()))
        result = compare_layers(model, recorded, images, tolerance, steps.append)
    assert steps == list(range(1, len(steps) + 1))
    return result


def guilty(result):
    return [layer.path for layer in result.layers if layer.status == "guilty"]
