"""docs/reference/json.md has the keys that the commands write: all of them, and no others."""

import json
import re

import pytest

from scripts.docs.pages import ROOT

PAGE = (ROOT / "docs/reference/json.md").read_text()
SMALL = "picodet_s_192_pedestrian"
MODEL = f"{SMALL}.pth"
EVALUATE = "picodet-eval picodet_s_416_coco.pth --coco coco"
EXPORT = f"picodet-export {MODEL} small.onnx --level heads --overwrite"
COMMANDS = {  # the heading of a table, and what writes such a file
    "list": ("picodet list --json out.json",),
    "convert": (f"picodet-convert {SMALL}.pdparams made.pth --json out.json",),
    "detect": (f"picodet-detect {MODEL} coffee.png --json out.json",),
    "align": (EXPORT, f"picodet-align small.onnx {MODEL} --json out.json"),
    "align record": (
        EXPORT,
        "picodet-align record small.onnx made.safetensors --summary --input-size 192 "
        "--json out.json",
    ),
    "eval": (f"{EVALUATE} --json out.json",),
    "eval --compare": (
        f"{EVALUATE} --out a.json",
        "picodet-eval --coco coco --compare a.json a.json --json out.json",
    ),
    "export": (f"picodet-export {MODEL} made.onnx --json out.json",),
}
ELSEWHERE = {"train"}  # tests/commands/test_train.py


def keys_of(heading):
    """The names in the first column of the table below a heading."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    cells = re.findall(r"^\| (`.*?) \|", section, re.M)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_table_is_compared():
    headings = re.findall(r"^## (.+)$", PAGE, re.M)
    assert {name for name in headings if keys_of(name)} == COMMANDS.keys() | ELSEWHERE


@pytest.mark.slow
@pytest.mark.parametrize("heading", COMMANDS)
def test_keys(heading, stand_ins, tmp_path):
    commands = COMMANDS[heading]
    shell = stand_ins.shell(tmp_path, "\n".join(commands))
    for command in commands:
        shell.made(command)
    content = json.loads((tmp_path / "out.json").read_text())
    first = content[0] if isinstance(content, list) else content
    assert first.keys() == keys_of(heading)
    if heading == "align":
        assert first["stages"][0].keys() == {"name", "verdict", "summary", "findings"}
