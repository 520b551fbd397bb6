import io
import json

import pytest
from rich.console import Console

from picodet.commands.recipe_tables import print_recipe, print_recipes, show_recipe
from picodet.errors import OutputError, TrainingError
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.yaml_file import resolve


def test_one(capsys, tmp_path):
    show_recipe("picodet_m_416_coco", tmp_path / "out.json")
    assert "schedule.base_lr" in capsys.readouterr().out
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["numbers"]["batches.per_gpu"]["value"] == 80


def test_all(capsys, tmp_path):
    show_recipe("all", tmp_path / "out.json")
    out = capsys.readouterr().out
    assert all(name in out for name in RECIPES)
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["picodet_m_416_coco"]["schedule.base_lr"] == 0.4


def test_what_is_no_recipe(tmp_path):
    with pytest.raises(TrainingError, match="not a recipe's name or a file"):
        show_recipe("mine")
    with pytest.raises(OutputError, match="is a directory"):
        show_recipe("all", tmp_path)


def printed(show, **how):
    file = io.StringIO()
    show(Console(file=file, **how))
    return file.getvalue()


def test_every_number_is_a_line_with_its_source():
    out = printed(lambda console: print_recipe(resolve("picodet_l_416_coco_lcnet"), console))
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    path = "configs/picodet/picodet_l_416_coco_lcnet.yml:"
    assert lines["schedule.base_lr"][1:] == ["0.12", path, "LearningRate.base_lr"]
    assert lines["augmentation.sizes"][1:6] == ["352,", "384,", "416,", "448,", "480"]
    assert "96 images per step (24 x 4); for another number the base learning rate 0.12" in out
    assert "117,266 images: 1,221 steps per epoch, 305,250 in all" in out
    assert "differs from ppdet" not in out


def test_what_a_file_changes_is_marked(tmp_path):
    path = tmp_path / "[red].yml"
    path.write_text("recipe: picodet_s_416_coco\nschedule: {base_lr: 0.1}\n")
    out = printed(lambda console: print_recipe(resolve(str(path)), console, 3200))
    (line,) = (line for line in out.splitlines() if "schedule.base_lr" in line)
    assert line.split()[:3] == ["schedule.base_lr", "*", "0.1"]
    assert f"{path}: schedule.base_lr" in line
    assert sum(" * " in line for line in out.splitlines()) == 1
    assert "*: differs from ppdet" in out
    assert "3,200 images: 10 steps per epoch, 3,000 in all" in out


def test_on_a_terminal_nothing_is_cut_off():
    out = printed(
        lambda console: print_recipe(resolve("picodet_s_416_coco"), console),
        width=80,
        force_terminal=True,
    )
    assert "…" not in out


def test_all_of_them_in_a_pipe():
    out = printed(lambda console: print_recipes(RECIPES.values(), console))
    names = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert names[2:] == list(RECIPES)
