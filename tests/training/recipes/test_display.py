import json

from picodet.training.recipes.display import as_json, markdown, shown
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.yaml_file import resolve


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


def test_values_in_words():
    assert shown(None) == "none"
    assert shown(True) == "yes"
    assert shown((416, 416)) == "416"
    assert shown(((800, 608), (320, 320))) == "800x608, 320"
    assert shown(4e-5) == "4e-05"
