"""The tensors, the file and the user together make a config; whoever speaks up is heard."""

from dataclasses import replace

import pytest

from picodet.config import Preprocessing
from picodet.converter.configure import ConvertOptions, FileHints, override_config, resolve_config
from picodet.converter.names.recognize import RecognizedModel
from picodet.errors import ConversionError
from picodet.zoo.architectures import LCNET_1_0X, S_LCNET, S_NPU, S
from picodet.zoo.class_names import COCO, VOC
from picodet.zoo.official import CONFIGS


def recognized(num_classes, variant=S):
    return RecognizedModel(variant, num_classes, variant.head_convs, variant.reg_max)


def resolve(num_classes, file="best_model", **options):
    return resolve_config(recognized(num_classes), FileHints(file), ConvertOptions(**options))


def both(resolved):
    return resolved.config, resolved.notes


@pytest.mark.parametrize(
    ("num_classes", "file", "name"),
    [
        (80, "picodet_s_416_coco", "picodet_s_416_coco"),
        (80, "picodet_s_320", "picodet_s_320_coco"),
        (80, "my_picodet_s_320_best", "picodet_s_320_coco"),
        (20, "picodet_s_320_voc", "picodet_s_320_voc"),
        (1, "picodet_s_192_pedestrian", "picodet_s_192_pedestrian"),
        (3, "picodet_s_320_cows", "picodet_s_320"),
    ],
)
def test_the_files_name_tells_size_and_classes(num_classes, file, name):
    config = resolve(num_classes, file).config
    assert config.name == name
    if name in CONFIGS:
        assert config == CONFIGS[name]


def test_without_a_name_the_size_is_assumed_and_reported():
    config, notes = both(resolve(80))
    assert config == CONFIGS["picodet_s_416_coco"]
    assert [note.split(":")[0] for note in notes] == ["the input size 416 is assumed"]


def test_unknown_classes_are_numbered_and_that_is_reported():
    config, notes = both(resolve(3, "picodet_s_416_cows"))
    assert config.classes == ("class 0", "class 1", "class 2")
    assert "--classes FILE" in notes[0]


def test_the_user_overrides_the_files_name():
    classes = tuple(map(str, range(20)))
    config, notes = both(resolve(20, "picodet_s_320_voc", input_size=(96, 64), classes=classes))
    assert (config.input_size, config.name, config.classes[7]) == ((96, 64), "picodet_s_96x64", "7")
    assert not notes


def test_a_config_by_name_gives_what_the_tensors_do_not_tell():
    config, notes = both(resolve(20, config="picodet_s_320_voc"))
    assert (config.input_size, config.classes) == ((320, 320), VOC)
    assert not notes


def test_eighty_classes_are_cocos():
    assert resolve(80).config.classes == COCO


def test_a_misleading_file_name_is_pointed_out():
    config, notes = both(resolve(80, "picodet_m_416_coco"))
    assert config.name == "picodet_s_416_coco"
    named = "the file is named picodet_m_416_coco, but its tensors are those of picodet_s with "
    assert notes == (named + "80 classes, head depth 2 and reg_max 7",)


def test_a_file_named_after_other_classes_too():
    _, notes = both(resolve(80, "picodet_s_320_voc"))
    assert notes[0].startswith("the file is named picodet_s_320_voc, but its tensors are those of")


def test_a_size_that_replaces_a_configs_is_reported():
    config, notes = both(resolve(80, config="picodet_s_320_coco", input_size=(416, 416)))
    assert config.name == "picodet_s_416_coco"
    assert notes == ("--input-size replaces the 320 of picodet_s_320_coco",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"config": "picodet_m_416_coco"},
            "contradict --config picodet_m_416_coco: they are those of picodet_s",
        ),
        ({"config": "picodet_s_320_voc"}, "picodet_s with 80 classes.* is picodet_s with 20"),
        ({"config": "picodet_s_416"}, "did you mean picodet_s_416_coco"),
        ({"classes": ("a", "b")}, "2 names found; the tensors have 80 classes"),
        ({"input_size": (416, 400)}, "416x400: both sides must be multiples of 32"),
        ({"input_size": (8224, 32)}, "up to 8192; set them with --input-size"),
    ],
)
def test_contradictions_are_errors(options, message):
    with pytest.raises(ConversionError, match=message):
        resolve(80, **options)


class TestName:
    """What a file is called may have a size in it."""

    @pytest.mark.parametrize(
        ("file", "size"),
        [
            ("picodet_s_320", (320, 320)),
            ("picodet_s_320_cows_best", (320, 320)),
            ("my-picodet_lcnet_x1_0_800x608", (800, 608)),
            ("picodet_s_lcnet_192", (192, 192)),
        ],
    )
    def test_that_is_taken(self, file, size):
        config, notes = both(resolve(3, file))
        assert config.input_size == size
        assert not any("input size" in note for note in notes)

    @pytest.mark.parametrize(
        "file",
        ["model_320", "picodet_320x", "picodet_s_2023", "picodet_s_20231101", "picodet_s_10"],
    )
    def test_or_another_number(self, file):
        config, notes = both(resolve(3, file))
        assert config.input_size == (416, 416)
        assert notes[1].startswith("the input size 416 is assumed")

    def test_of_an_official_model_says_its_classes_and_a_size_alone_does_not(self):
        """One class and 320 pixels are not yet pedestrians."""
        assert resolve(1, "picodet_s_320_pedestrian").config.classes == ("pedestrian",)
        config, notes = both(resolve(1, "picodet_s_320_cows"))
        assert (config.name, config.classes) == ("picodet_s_320", ("class 0",))
        assert "the classes are numbered" in notes[0]

    def test_the_longest_that_fits_is_meant(self):
        file = "picodet_m_320_coco_pruner"
        variant = CONFIGS[file]
        assert (
            resolve_config(
                RecognizedModel.of(variant), FileHints(file), ConvertOptions()
            ).config.name
            == file
        )


class TestFileHints:
    """What an export says of itself."""

    NUMBERS = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 1)

    def test_goes_before_the_files_name(self):
        hints = FileHints("picodet_s_320_coco", (416, 608), COCO[::-1], self.NUMBERS)
        config, notes = both(resolve_config(recognized(80), hints, ConvertOptions()))
        assert config.input_size == (416, 608)
        assert (config.classes, config.preprocessing) == (COCO[::-1], self.NUMBERS)
        assert (config.name, notes) == ("picodet_s_416x608", ())

    def test_and_behind_the_user(self):
        hints = FileHints("x", (416, 416), ("a",), self.NUMBERS)
        config, _ = both(
            resolve_config(recognized(1), hints, ConvertOptions(None, (96, 96), ("b",)))
        )
        assert (config.input_size, config.classes) == ((96, 96), ("b",))

    def test_a_list_of_labels_that_is_wrong_is_left_out_and_that_is_reported(self):
        """The official folder of this model lists COCO's."""
        hints = FileHints("picodet_s_192_pedestrian", (192, 192), COCO)
        config, notes = both(resolve_config(recognized(1), hints, ConvertOptions()))
        assert config == CONFIGS["picodet_s_192_pedestrian"]
        assert notes == (
            "picodet_s_192_pedestrian lists 80 classes, its tensors have 1: the list was ignored",
        )

    def test_an_architecture_knows_its_preprocessing(self):
        config = resolve_config(recognized(80, S_NPU), FileHints("x"), ConvertOptions()).config
        assert config == CONFIGS["picodet_s_416_coco_npu"]
        assert config.preprocessing.mean == (0, 0, 0)

    def test_settings_name_the_model(self):
        hints = FileHints("model", model_name="PP-DocLayout-S")
        config, notes = both(resolve_config(recognized(23, S_LCNET), hints, ConvertOptions()))
        assert (config, notes) == (CONFIGS["PP-DocLayout-S"], ())

    def test_the_settings_name_goes_before_the_files(self):
        hints = FileHints("picodet_s_416_coco_lcnet", model_name="PicoDet-S")
        config = resolve_config(recognized(80, S_LCNET), hints, ConvertOptions()).config
        assert config == CONFIGS["PicoDet-S"]

    def test_paddlex_keeps_the_name_of_what_it_has_fine_tuned(self):
        hints = FileHints("best", (480, 480), ("a", "b"), model_name="PP-DocLayout-S")
        config, notes = both(resolve_config(recognized(2, S_LCNET), hints, ConvertOptions()))
        assert (config.name, config.classes, notes) == ("picodet_s_lcnet_480", ("a", "b"), ())

    def test_a_name_in_the_settings_that_is_wrong_is_reported(self):
        hints = FileHints("best", (480, 480), ("a", "b"), model_name="PP-DocLayout-S")
        notes = resolve_config(recognized(2, S), hints, ConvertOptions()).notes
        assert notes == (
            "its settings name PP-DocLayout-S, but its tensors are those of picodet_s with 2 "
            "classes, head depth 2 and reg_max 7",
        )

    @pytest.mark.parametrize("file", ["my_PicoDet-S", "PicoDet-S_infer", "PicoDet-S_pretrained"])
    def test_a_name_of_paddlex_in_the_files(self, file):
        config = resolve_config(recognized(80, S_LCNET), FileHints(file), ConvertOptions()).config
        assert config == CONFIGS["PicoDet-S"]

    def test_a_longer_word_is_another_name(self):
        hints = FileHints("PicoDet-Sea")
        config = resolve_config(recognized(80, S_LCNET), hints, ConvertOptions()).config
        assert config == CONFIGS["picodet_s_416_coco_lcnet"]


class TestAsk:
    def asked(self, num_classes, variant=S, file="model", **options):
        asked = []

        def ask(sizes):
            asked.append(sizes)
            return (64, 96)

        config, notes = both(
            resolve_config(
                recognized(num_classes, variant),
                FileHints(file),
                ConvertOptions(ask_for_size=ask, **options),
            )
        )
        return asked, config.input_size, notes

    def test_where_official_models_of_several_sizes_have_these_tensors(self):
        assert self.asked(80) == ([((320, 320), (416, 416))], (64, 96), ())

    def test_also_where_only_the_classes_are_others(self):
        asked, size, notes = self.asked(3)
        assert (asked, size) == ([((320, 320), (416, 416), (192, 192))], (64, 96))
        assert not any("input size" in note for note in notes)

    @pytest.mark.parametrize(
        "options",
        [
            {"file": "picodet_s_320"},
            {"file": "picodet_s_320_coco"},
            {"input_size": (320, 320)},
            {"config": "picodet_s_320_coco"},
        ],
    )
    def test_not_where_somebody_has_said_it(self, options):
        asked, size, notes = self.asked(80, **options)
        assert (asked, size, notes) == ([], (320, 320), ())

    def test_not_where_there_is_one(self):
        asked, size, notes = self.asked(20)
        assert (asked, size) == ([], (320, 320))
        assert "the input size 320 is assumed" in notes[-1]

    def test_a_page_is_no_square(self):
        _, size, notes = self.asked(5, LCNET_1_0X)
        assert size == (800, 608)
        assert "the input size 800x608 is assumed" in notes[-1]

    def test_how_to_ask_is_no_part_of_what_is_wanted(self):
        assert ConvertOptions(ask_for_size=print) == ConvertOptions()


class TestOverrideConfig:
    CONFIG = replace(S, name="mine", classes=("a", "b"), input_size=(96, 64))

    def test_as_it_is(self):
        assert override_config(self.CONFIG, ConvertOptions()) is self.CONFIG

    def test_what_is_changed_has_another_name(self):
        assert override_config(self.CONFIG, ConvertOptions(input_size=(64, 64))).name == "mine_64"
        coco = replace(self.CONFIG, classes=COCO)
        assert (
            override_config(coco, ConvertOptions(input_size=(320, 320)))
            == CONFIGS["picodet_s_320_coco"]
        )
