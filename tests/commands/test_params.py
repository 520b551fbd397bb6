"""Which values the parameter types of commands accept."""

import click
import pytest
from click.testing import CliRunner

from picodet.cli import main
from picodet.commands.params import MAX_SEED, FilePath, FiniteFloat
from picodet.errors import PicoDetError
from picodet.ops.postprocess import Postprocessing
from picodet.training.recipes.limits import LIMITS, field_type, leaves, validated
from picodet.training.recipes.official import RECIPES


def commands(group=main, name=""):
    for short, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name}{short} ")
        else:
            yield f"{name}{short}", command


PARAMS = [
    pytest.param(command, param, id=f"{name} {param.name}")
    for name, command in commands()
    for param in command.params
]
NOT_A_NUMBER = ("nan", "NaN", "-nan", "inf", "-inf", "Infinity", "1e999")


@pytest.mark.parametrize(("command", "param"), PARAMS)
def test_no_option_takes_what_is_no_number(command, param):
    assert param.type is not click.FLOAT
    if isinstance(param.type, click.FloatRange):
        assert isinstance(param.type, FiniteFloat)
        for value in NOT_A_NUMBER:
            with pytest.raises(click.BadParameter):
                param.type.convert(value, param, None)


@pytest.mark.parametrize(("command", "param"), PARAMS)
def test_every_path_is_declared_as_read_or_written(command, param):
    """Inputs and outputs are declared, so that no output replaces an input."""
    assert not isinstance(param.type, click.Path | click.File)
    if isinstance(param.type, FilePath):
        for value in ("", " ", "a\0b"):
            with pytest.raises(click.BadParameter):
                param.type.convert(value, param, None)


DATA = ["--coco", "coco"]


@pytest.mark.parametrize(
    "words",
    [
        ["eval", "x.onnx", *DATA, "--iou-thr", "nan"],
        ["eval", "x.onnx", *DATA, "--score-thr", "nan"],
        ["eval", "x.onnx", *DATA, "--expect-ap", "nan"],
        ["eval", "x.onnx", *DATA, "--within", "inf"],
        ["eval", "x.onnx", *DATA, "--out", ""],
        ["detect", "x.onnx", "x.png", "--score-thr", "nan"],
        ["detect", "x.onnx", ""],
        ["detect", "", "x.png"],
        ["export", "x.pth", "x.onnx", "--score-thr", "nan"],
        ["export", "x.pth", "x.onnx", "--iou-thr", "inf"],
        ["align", "x.pdparams", "x.pth", "--tolerance", "nan"],
        ["align", "x.pdparams", "x.pth", "--tolerance", "0"],
        ["train", "picodet_s_320_coco", *DATA, "--lr", "nan"],
        ["train", "picodet_s_320_coco", *DATA, "--lr", "inf"],
        ["train", "picodet_s_320_coco", *DATA, "--lr", "1e9"],
        ["train", "picodet_s_320_coco", *DATA, "--seed", "-1"],
        ["train", "picodet_s_320_coco", *DATA, "--seed", str(MAX_SEED + 1)],
        ["convert", "x.pdparams", "x\0.pth"],
        ["list", "--json", ""],
    ],
)
def test_wrong_usage(words):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2, done.output
    assert "Invalid value" in done.output


def test_no_number_of_a_recipe_may_be_none():
    recipe = RECIPES["picodet_s_320_coco"]
    for path, value in leaves(recipe).items():
        if isinstance(value, float) and not path.startswith("model."):
            assert path in LIMITS, path
            for number in (float("nan"), float("inf"), "nan"):
                with pytest.raises(ValueError, match="expected a number from"):
                    validated(number, path, field_type(recipe, path))


def test_nor_of_the_postprocessing():
    for name in ("score_threshold", "iou_threshold"):
        for number in (float("nan"), float("inf"), -0.1):
            with pytest.raises(PicoDetError, match=f"{name}: .*a number from 0 to 1"):
                Postprocessing(**{name: number})
