from dataclasses import replace
from pathlib import Path

import pytest
import seeded

from picodet.class_names import COCO, VOC
from picodet.config import CONFIGS, VARIANTS
from picodet.converter.configure import Wanted, configure
from picodet.errors import ConversionError

S = VARIANTS[0]
SHAPES = {count: seeded.shapes(replace(S, classes=("x",) * count)) for count in (1, 3, 20, 80)}


def configured(num_classes, file="best_model.pdparams", **wanted):
    return configure(SHAPES[num_classes], Path(file), Wanted(**wanted))


def both(found):
    return found.config, found.notes


@pytest.mark.parametrize(
    ("num_classes", "file", "name"),
    [
        (80, "picodet_s_416_coco.pdparams", "picodet_s_416_coco"),
        (80, "picodet_s_320.pdparams", "picodet_s_320_coco"),
        (80, "my_picodet_s_320_best.pdparams", "picodet_s_320_coco"),
        (20, "picodet_s_320_voc.pdparams", "picodet_s_320_voc"),
        (1, "picodet_s_192_pedestrian.pdparams", "picodet_s_192_pedestrian"),
        (3, "picodet_s_320_cows.pdparams", "picodet_s_320"),
    ],
)
def test_the_files_name_tells_size_and_classes(num_classes, file, name):
    config = configured(num_classes, file).config
    assert config.name == name
    if name in CONFIGS:
        assert config == CONFIGS[name]


def test_without_a_name_the_size_is_assumed_and_said():
    config, notes = both(configured(80))
    assert config == CONFIGS["picodet_s_416_coco"]
    assert [note.split(":")[0] for note in notes] == ["the input size 416 is assumed"]


def test_unknown_classes_are_numbered_and_that_is_said():
    config, notes = both(configured(3, "picodet_s_416_cows.pdparams"))
    assert config.classes == ("class 0", "class 1", "class 2")
    assert "--classes FILE" in notes[0]


def test_the_user_overrides_the_files_name():
    classes = tuple(map(str, range(20)))
    config, notes = both(
        configured(20, "picodet_s_320_voc.pdparams", input_size=(96, 64), classes=classes)
    )
    assert (config.input_size, config.name, config.classes[7]) == ((96, 64), "picodet_s_96x64", "7")
    assert not notes


def test_a_config_by_name_gives_what_the_tensors_do_not_tell():
    config, notes = both(configured(20, config="picodet_s_320_voc"))
    assert (config.input_size, config.classes) == ((320, 320), VOC)
    assert not notes


def test_eighty_classes_are_cocos():
    assert configured(80).config.classes == COCO


def test_a_misleading_file_name_is_pointed_out():
    config, notes = both(configured(80, "picodet_m_416_coco.pdparams"))
    assert config.name == "picodet_s_416_coco"
    named = "the file is named picodet_m_416_coco, its tensors are of picodet_s with 80 classes, "
    assert notes == (named + "head depth 2 and reg_max 7",)


def test_a_file_named_after_other_classes_too():
    _, notes = both(configured(80, "picodet_s_320_voc.pdparams"))
    assert notes[0].startswith("the file is named picodet_s_320_voc, its tensors are of picodet_s")


def test_a_size_that_replaces_a_configs_is_said():
    config, notes = both(configured(80, config="picodet_s_320_coco", input_size=(416, 416)))
    assert config.name == "picodet_s_416_coco"
    assert notes == ("--input-size replaces the 320 of picodet_s_320_coco",)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"config": "picodet_m_416_coco"}, "contradict --config picodet_m_416_coco. They are of "),
        ({"config": "picodet_s_320_voc"}, "picodet_s with 80 classes.* is picodet_s with 20"),
        ({"config": "picodet_s_416"}, "did you mean picodet_s_416_coco"),
        ({"classes": ("a", "b")}, "names 2 classes, the tensors have 80"),
        ({"input_size": (416, 400)}, "416x400: both sides must be multiples of 32"),
        ({"input_size": (8224, 32)}, "up to 8192; --input-size sets them"),
    ],
)
def test_contradictions_are_errors(wanted, message):
    with pytest.raises(ConversionError, match=message):
        configured(80, **wanted)


def test_no_picodet_is_none():
    assert configure({"neck.x": (1,)}, Path("x"), Wanted()) is None
