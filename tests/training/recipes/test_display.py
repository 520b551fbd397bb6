import io
import json

from rich.console import Console

from picodet.training.recipes.display import as_json, markdown, print_recipe, print_recipes, shown
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.yaml_file import resolve


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


def test_for_machines():
    content = json.loads(json.dumps(as_json(resolve("picodet_s_416_coco"), 1000)))
    assert content["numbers"]["schedule.base_lr"] == {
        "value": 0.4,
        "source": "configs/picodet/legacy_model/_base_/optimizer_300e.yml: LearningRate.base_lr",
        "changed": False,
    }
    assert content["derived"]["batch"] == 320
    assert content["derived"]["steps_per_epoch"] == 3


def test_all_of_them_for_the_readme():
    lines = markdown(RECIPES.values()).splitlines()
    assert len(lines) == 2 + len(RECIPES)
    assert lines[0] == "| recipe | sizes | batch | base lr | epochs | assigner | EMA |"
    assert (
        "| picodet_l_416_coco | 352 .. 480 | 48 x 4 | 0.3 | 250 of 300 | SimOTA "
        "| every epoch, cycle 40 |"
    ) in lines
    assert (
        "| picodet_xs_320_coco_lcnet | 256 .. 384 | 64 x 4 | 0.32 | 300 | ATSS 100, then TAL "
        "| no cycle |"
    ) in lines


def test_all_of_them_in_a_pipe():
    out = printed(lambda console: print_recipes(RECIPES.values(), console))
    names = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert names[2:] == list(RECIPES)


def test_values_in_words():
    assert shown(None) == "none"
    assert shown(True) == "yes"
    assert shown((416, 416)) == "416"
    assert shown(((800, 608), (320, 320))) == "800x608, 320"
    assert shown(4e-5) == "4e-05"
