"""Runs of picodet-eval on synthetic images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import color_network
from click.testing import CliRunner
from drawn_coco import write_dataset
from gated_image import PYTHONPATH

from picodet.commands.evaluate import evaluate

ROOT = Path(__file__).parents[2]
DATASET = ["--coco", "coco"]


def prepare(folder):
    """A network and a dataset, x.onnx and coco."""
    color_network.write_color_network(folder / "x.onnx", color_network.meta())
    write_dataset(folder / "coco")
    return folder


def run(folder, *arguments):
    """Run the command in the folder: arguments are short, and default outputs stay there."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])
    finally:
        os.chdir(before)


def numbers(path):
    return json.loads(path.read_text())


def words(result):
    return " ".join(result.output.split())


def start(folder, *options):
    command = [sys.executable, "-m", "picodet", "eval", "x.onnx", *DATASET, "--threads", "1"]
    return subprocess.Popen(
        [*command, "--out", "out.json", *map(str, options)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": PYTHONPATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
