import json

import pytest

from picodet.commands.recipe_tables import print_recipe
from picodet.errors import OutputError, TrainingError
from picodet.training.recipes.official import RECIPES


def test_one(capsys, tmp_path):
    print_recipe("picodet_m_416_coco", tmp_path / "out.json")
    assert "schedule.base_lr" in capsys.readouterr().out
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["numbers"]["batches.per_gpu"]["value"] == 80


def test_all(capsys, tmp_path):
    print_recipe("all", tmp_path / "out.json")
    out = capsys.readouterr().out
    assert all(name in out for name in RECIPES)
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["picodet_m_416_coco"]["schedule.base_lr"] == 0.4


def test_what_is_no_recipe(tmp_path):
    with pytest.raises(TrainingError, match="not a recipe's name or a file"):
        print_recipe("mine")
    with pytest.raises(OutputError, match="is a directory"):
        print_recipe("all", tmp_path)
