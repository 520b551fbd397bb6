"""Every PicoDet that PaddleX, PaddleOCR and PaddleClas publish is converted, by the command line.

From a checkpoint and from an inference folder of the published names, with seeded weights: no
option is needed, the size and the class names are the published ones, and the weights are the same.
"""

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from pir_folders import write_folder
from safetensors.numpy import load_file
from small_models import differing, model_of
from tracing import seeded_checkpoint

import picodet
from picodet.commands.convert import convert
from picodet.zoo.official import OFFICIAL
from scripts.fixtures import seeded

FAMILY = [
    official.config
    for official in OFFICIAL
    if not official.group.startswith("PaddleDetection") or "/smrt/" in official.path
]
# one of each architecture, for what Paddle itself exports
ARCHITECTURES = [
    next(config for config in FAMILY if config.backbone == backbone and config.neck == neck)
    for backbone, neck in dict.fromkeys((config.backbone, config.neck) for config in FAMILY)
]
QUICK = ("PP-DocLayout-S", "PicoDet_layout_1x_table")  # one of each head, the others are slow


def each(configs):
    return [
        pytest.param(config, id=config.name, marks=() if config.name in QUICK else pytest.mark.slow)
        for config in configs
    ]


def converted(source, output):
    done = CliRunner().invoke(convert, [str(source), str(output)])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_family_is_complete():
    assert len(FAMILY) == 14 + 3 + 1 + 6


@pytest.mark.parametrize("config", each(FAMILY))
def test_from_a_checkpoint(tmp_path, config):
    source, output = tmp_path / f"{config.name}_pretrained.pdparams", tmp_path / "out.safetensors"
    seeded.write(seeded_checkpoint(config), source)
    text = converted(source, output)
    assert "assumed" not in text
    assert picodet.load(output).config == config
    assert not differing(load_file(output), config)


@pytest.mark.parametrize("config", each(FAMILY))
def test_from_an_inference_folder(tmp_path, config):
    source = write_folder(model_of(config), tmp_path / f"{config.name}_infer")
    output = tmp_path / "out.safetensors"
    text = converted(source, output)
    assert "assumed" not in text
    assert picodet.load(output).config == config
    assert not differing(load_file(output), config)


@pytest.fixture(scope="module")
def paddle_folders(paddle_python, tmp_path_factory):
    """Folders that Paddle 3 has exported from ppdet's own models, decoding and NMS inside."""
    output, root = tmp_path_factory.mktemp("paddle"), Path(__file__).parents[2]
    names = [config.name for config in ARCHITECTURES]
    command = [paddle_python, "-W", "ignore", "-m", "scripts.fixtures.paddle3_folders", output]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([*command, *names], check=True, cwd=root, env=environment, capture_output=True)
    return output


@pytest.mark.slow
@pytest.mark.paddle
@pytest.mark.parametrize("config", ARCHITECTURES, ids=lambda config: config.name)
def test_from_paddles_own_folder(paddle_folders, tmp_path, config):
    output = tmp_path / "out.safetensors"
    text = converted(paddle_folders / f"{config.name}_infer", output)
    assert "assumed" not in text
    assert "not the anchor points" not in text
    assert picodet.load(output).config == config
    assert not differing(load_file(output), config)
