from dataclasses import replace
from io import StringIO

import pytest
from comparisons import ALIGNED, DIFFERENT, FINE, HOSTILE, layer
from rich.console import Console

from picodet.commands.alignment_tables import print_comparison


def shown(comparison, layerwise=False, unfold=False, width=80):
    console = Console(file=StringIO(), width=width)
    print_comparison(comparison, layerwise, unfold, console)
    return console.file.getvalue()


def words(text, start):
    """The words of the first line that begins with `start`."""
    return next(line.split() for line in text.splitlines() if line.lstrip().startswith(start))


def test_the_stages_and_the_verdict():
    text = shown(DIFFERENT)
    assert words(text, "weights") == ["weights", "aligned", "all", "of", "weights"]
    assert words(text, "NMS")[:3] == ["NMS", "not", "compared"]
    assert text.rstrip().endswith("DIFFERS: 2 guilty layers")
    assert shown(ALIGNED).rstrip().endswith("ALIGNED")


def test_without_layerwise_the_guilty_have_a_line_each():
    text = shown(DIFFERENT, width=200)
    assert "guilty head.predictors.1: NaN in the model. a negative variance" in text
    assert "guilty backbone.stage2.block1.conv_pw: 5.0e6 times the noise at [0, 3, 2, 1]" in text
    assert text.index("head.predictors.1") < text.index("backbone.stage2.block1.conv_pw")
    assert "backbone.stem" not in text


def test_a_row_per_block():
    text = shown(DIFFERENT, layerwise=True)
    row = ["backbone.stage2.block1", "2", "5.0e-01", "5.0e6", "5.0e-01", "5.0e6", "guilty"]
    assert words(text, "backbone.stage2.block1") == row
    assert words(text, "neck.upsample")[:3] == ["neck.upsample", "2", "1.0e-07"]
    assert "itself" not in text


def test_unfolded_a_row_per_layer():
    text = shown(DIFFERENT, layerwise=True, unfold=True)
    cells = ["-", "-", "1.0e-07", "1.0", "aligned"]
    assert words(text, "itself, call 1") == ["itself,", "call", "1", *cells]
    assert words(text, "conv_pw.act")[-1] == "affected"


@pytest.mark.parametrize(
    "evidence",
    [
        "error 0.5",
        "times the noise 5.0e6",
        "noise floor 1e-07",
        "allowed 8e-07",
        "at [0, 3, 2, 1]",
        "model 1.5",
        "reference 1",
        "vanishes with <another> slope",
        "NaN in the model",
        "their.backbone.stage2.block1.conv_pw",
    ],
)
def test_layerwise_shows_all_details_of_guilty_layers(evidence):
    assert evidence in shown(DIFFERENT, layerwise=True, width=200)


def test_names_are_data_and_not_markup():
    text = shown(DIFFERENT, layerwise=True, width=200)
    assert f"unpaired {HOSTILE} (Swish) of the reference" in text
    assert words(text, "box")[1:3] == ['<script>alert("1")</script>[bold]', "a"]
    escape = replace(ALIGNED, tolerance="a\x1b[31mb", layers=())
    assert "a\\x1b[31mb" in shown(escape, layerwise=True)


def test_the_longest_block_fits_80_columns():
    names = "neck.bottom_up_blocks.1", "backbone.stage3.block10"
    layers = tuple(layer(name, local=FINE, status="affected") for name in names)
    lines = shown(replace(ALIGNED, layers=layers), layerwise=True).splitlines()
    for name in names:
        assert any(line.startswith(name) and line.rstrip().endswith("affected") for line in lines)
