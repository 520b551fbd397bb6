"""Every model compared with recordings of ppdet's, whose weights and inputs are seeded."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tracing import SMALL, seeded_checkpoint, trace

import picodet
from picodet.commands.convert import convert
from picodet.converter.names.name_tables import name_table
from picodet.models.picodet import PicoDet
from picodet.ops.decode import decode
from scripts.fixtures import seeded

# Of a layer's greatest magnitude. Measured: 2e-14 at most; the bar of the project is 1e-9, and
# a slope of 0.01 rounded to float32, the smallest mistake made so far, shows as 1e-11.
TOLERANCE = 1e-12
# of GFLHead, which both heads descend from: ppdet makes them and calls them nowhere
UNUSED = 4


@pytest.fixture(scope="module")
def recorded(golden):
    with np.load(golden / "layers.npz") as content:
        return dict(content)


@pytest.fixture(
    scope="module", params=seeded.RECORDED_CONFIGS.values(), ids=seeded.RECORDED_CONFIGS
)
def pair(request, tmp_path_factory):
    """A config, and picodet's model in float64 with the recording's weights.

    They come from a `.pdparams`, through the command line.
    """
    config, folder = request.param, tmp_path_factory.mktemp("pair")
    source, output = folder / f"{config.name}.pdparams", folder / "out.safetensors"
    seeded.write(seeded_checkpoint(config), source)
    size = "x".join(map(str, config.input_size))
    done = CliRunner().invoke(convert, [str(source), str(output), "--input-size", size])
    assert done.exit_code == 0, done.output
    model = picodet.load(output)
    assert replace(model.config, name=config.name, classes=config.classes) == config
    for file in (source, output):
        file.unlink()
    return config, model.double()


def table_of(config):
    return name_table(config.backbone, config.neck, config.head)


@pytest.mark.slow
def test_every_layer_computes_what_ppdets_does(pair, recorded):
    config, model = pair
    names = recorded[f"names/{seeded.architecture(config)}"].item().decode().split("\n")
    translations = [table_of(config).to_ours(name) for name in names]
    names = [ours.name if ours else name for ours, name in zip(translations, names, strict=True)]
    recording = zip(names, recorded[f"{config.name}/layers"], strict=True)
    # the integral is part of decoding here
    theirs = [entry for entry in recording if entry[0] not in ("head", "head.integral")]
    ours = trace(model, seeded.images(*config.input_size))
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    for (name, output), (_, expected) in zip(ours, theirs, strict=True):
        assert_equal(output, expected, seeded.LAYER_SAMPLES, name)


@pytest.mark.slow
def test_scores_and_boxes_are_ppdets(pair, recorded):
    config, model = pair
    with torch.inference_mode():
        images = torch.from_numpy(seeded.images(*config.input_size)).double()
        boxes, scores = decode(model(images), model.head.integral)
    for output, expected in zip((scores, boxes), recorded[f"{config.name}/ending"], strict=True):
        assert_equal(output.numpy(), expected, seeded.OUTPUT_SAMPLES, config.name)


def assert_equal(output, expected, samples, name):
    scale = expected[samples]
    error = np.abs(seeded.digest(output, samples) - expected).max() / scale
    assert error <= TOLERANCE, f"{name} is off by {error} of its greatest magnitude"


@pytest.mark.slow
def test_no_tensor_is_missing(pair, golden):
    """The numbers of tensors and parameters are those of ppdet's model."""
    config, model = pair
    counts = json.loads((golden / "counts.json").read_text())[config.name]
    assert len(seeded.shapes(config)) == counts["tensors"]
    assert sum(p.numel() for p in model.parameters()) == counts["parameters"] - UNUSED


def test_the_state_dict_has_ppdets_order():
    """The tensors are in the order of picodet_s_416_coco.pdparams."""
    paddle = [table_of(SMALL).to_paddle(name) for name in PicoDet(SMALL).state_dict()]
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
    assert [tuple(x.shape[:2]) for x in output.reg] == [(2, 32)] * 4
