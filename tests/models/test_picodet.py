"""The mirrored model against recordings of the real one, whose weights and inputs are seeded."""

import numpy as np
import pytest
import seeded
import torch
from tracing import SMALL, filled, seeded_checkpoint, trace

from picodet.converter.rules import PICODET_2021
from picodet.decoding import decode
from picodet.models.picodet import PicoDet

# Of a layer's greatest magnitude. Measured: 4e-14 at most; the bar of the project is 1e-9, and
# a wrong epsilon of batch norm, the smallest mistake made so far, shows as 1e-10.
TOLERANCE = 1e-12


@pytest.fixture(scope="module", params=seeded.RECORDED)
def pair(request, golden):
    """A recording, and our model in float64 with the same weights."""
    config = seeded.RECORDED[request.param]
    with np.load(golden / f"{request.param}.npz") as recorded:
        return dict(recorded), filled(config, seeded_checkpoint(config)).double(), config


def ours_of(paddle_name):
    translation = PICODET_2021.to_ours(paddle_name)
    return translation and translation.name


def test_every_layer_computes_what_ppdets_does(pair):
    recorded, model, config = pair
    recording = zip(recorded["names"], recorded["samples"], recorded["scales"], strict=True)
    theirs = [(ours_of(name), samples, scale) for name, samples, scale in recording]
    # the integral is part of decoding here
    theirs = [entry for entry in theirs if entry[0] not in ("head", "head.integral")]
    ours = trace(model, seeded.images(*config.input_size))
    assert [name for name, _ in ours] == [name for name, _, _ in theirs]
    for (name, output), (_, samples, scale) in zip(ours, theirs, strict=True):
        flat = output.ravel()
        found = flat[np.linspace(0, flat.size - 1, len(samples)).astype(int)]
        assert np.abs(found - samples).max() <= TOLERANCE * scale, name
        assert abs(np.abs(flat).max() - scale) <= TOLERANCE * scale, name


def test_boxes_and_scores_are_ppdets(pair):
    recorded, model, config = pair
    with torch.inference_mode():
        images = torch.from_numpy(seeded.images(*config.input_size)).double()
        boxes, scores = decode(model(images), model.head.integral)
    assert np.abs(boxes[0].numpy() - recorded["boxes"]).max() < TOLERANCE * max(config.input_size)
    assert np.abs(scores[0].numpy() - recorded["scores"]).max() < TOLERANCE


def test_the_state_dict_has_ppdets_order():
    """The order of picodet_s_416_coco.pdparams, part by part."""
    paddle = [PICODET_2021.to_paddle(name) for name in PicoDet(SMALL).state_dict()]
    names = [translation.name for translation in paddle if translation]
    assert names[:2] == ["backbone._conv1._conv.weight", "backbone._conv1._batch_norm.weight"]
    firsts = [
        *("neck.conv_t.", "neck.first_top_conv.", "neck.second_top_conv.", "neck.top_down_"),
        *("neck.downsamples.", "neck.bottom_up_", "head.conv_feat.cls_conv_dw0.0."),
        *("head.conv_feat.cls_conv_pw0.0.", "head.conv_feat.cls_conv_dw0.1."),
        *("head.distribution_project", "head.head_cls0."),
    ]
    positions = [next(i for i, n in enumerate(names) if n.startswith(first)) for first in firsts]
    assert positions == sorted(positions)


def test_raw_output_has_a_map_per_level():
    output = PicoDet(SMALL).eval()(torch.zeros(2, 3, 96, 64))
    assert [tuple(x.shape) for x in output.logits] == [
        (2, 3, 12, 8),
        (2, 3, 6, 4),
        (2, 3, 3, 2),
        (2, 3, 2, 1),
    ]
    assert [tuple(x.shape[:2]) for x in output.sides] == [(2, 32)] * 4
