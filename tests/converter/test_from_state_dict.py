"""Tensors by names become a PicoDet: all published, their backbones, and what is none."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from small_models import V1, V2, checkpoint_of, differing, weights_of

from picodet.converter.configure import ConvertOptions, FileHints
from picodet.converter.converted_model import IncompleteError
from picodet.converter.from_state_dict import from_state_dict
from picodet.converter.names.name_tables import CLAS_BACKBONE
from picodet.converter.names.unmatched_tensors import TORCH_ONLY_SUFFIX
from picodet.converter.sources import Origin, StateDictSource
from picodet.errors import ConversionError
from picodet.zoo.architectures import VARIANTS, S
from picodet.zoo.official import CONFIGS
from scripts.fixtures import seeded

# by whether their tensors are equal: variant, number of classes; the sizes cannot be told
GROUPS = {
    ("picodet_xs_lcnet", 80): {320, 416},
    ("picodet_s_lcnet", 80): {320, 416},
    ("picodet_s_lcnet", 1): {192, 320},
    ("picodet_m_lcnet", 80): {320, 416},
    ("picodet_l_lcnet", 80): {320, 416, 640},
    ("picodet_l_lcnet", 45): {640, 1024},
    ("picodet_l_lcnet", 22): {640, 1024},
    ("picodet_l_lcnet", 5): {640, 1024},
    ("picodet_s", 80): {320, 416},
    ("picodet_s", 1): {192, 320},
    ("picodet_m", 80): {320, 416},
    ("picodet_l", 80): {320, 416, 640},
    ("picodet_lcnet_2_5x", 80): {416, 640, 800},
    ("picodet_lcnet_2_5x", 1): {640, 1088},
}
LITE = "picodet_PPLCNet_x2_5_mainbody_lite_v1.0"  # with a leaky ReLU, which tensors do not show


def converted(arrays, name="model", naming="ppdet", file_config=None, **options):
    origin = Origin(Path(f"{name}.pdparams"), "test")
    source = StateDictSource(origin, naming, arrays, FileHints(name), file_config)
    return from_state_dict(source, ConvertOptions(**options), allow_nonfinite=False)


@cache
def zeros_of(architecture, num_classes):
    """Arrays that take no memory; only the bins have to be right."""
    shapes = seeded.shapes(replace(architecture, classes=("",) * num_classes))
    arrays = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    bins = np.arange(architecture.reg_max + 1, dtype=np.float32)
    return arrays | {"head.distribution_project.project": bins}


def zeros(config):
    return zeros_of(replace(config, name="", input_size=(32, 32), classes=()), len(config.classes))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_they_are_recognized_by_their_tensors_and_distinguished_by_their_names(name):
    found = converted(zeros(CONFIGS[name]), name)
    assert found.config == CONFIGS[name]
    assert found.notes == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_without_a_name_the_size_is_asked_for_where_there_are_several(name):
    config, asked = CONFIGS[name], []

    def ask(sizes):
        asked.append({height for height, _ in sizes})
        return config.input_size

    found = converted(zeros(config), ask_for_size=ask, classes=config.classes)
    (variant,) = (v for v in VARIANTS if replace(found.config, **shared_with(v)) == v)
    expected = GROUPS.get((variant.name, len(config.classes)))
    assert asked == ([expected] if expected else [])
    if name == LITE:
        assert found.notes[-1].startswith("the activation hardswish is assumed")
    else:
        assert found.config == replace(config, name=found.config.name)


def test_an_activation_that_tensors_do_not_show_is_that_of_the_name():
    arrays = zeros(CONFIGS[LITE])
    for options in ({"name": f"{LITE}_pretrained"}, {"config": LITE}):
        found = converted(arrays, **options)
        assert (found.config, found.notes) == (CONFIGS[LITE], ())
        assert found.config.backbone.activation == found.config.activation == "leaky_relu"


def test_without_a_name_it_is_reported_which_activation_was_assumed():
    found = converted(zeros(CONFIGS[LITE]), classes=("x",), input_size=(96, 96))
    assert found.config.activation == "hardswish"
    assert found.notes == (
        f"the activation hardswish is assumed: tensors do not show it, and {LITE}, which has the "
        f"same, has leaky_relu; --config {LITE} sets it",
    )
    named = converted(zeros(CONFIGS["PP-ShiTuV2_det"]), "PP-ShiTuV2_det_pretrained")
    assert (named.config.name, named.notes) == ("PP-ShiTuV2_det", ())


def shared_with(variant):
    """What the tensors do not tell."""
    return {"name": variant.name, "classes": variant.classes, "input_size": variant.input_size}


def test_a_size_that_nobody_states_is_assumed_and_that_is_reported():
    found = converted(zeros(CONFIGS["picodet_r18_640_coco"]))
    assert found.config.name == "picodet_r18_640_coco"
    assert found.notes[0].startswith("the input size 640 is assumed")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("picodet_s_320", (320, 320)),
        ("picodet_s_800x608_pages", (800, 608)),
        ("run3-picodet_s_lcnet_192_cows", (192, 192)),
    ],
)
def test_a_files_name_tells_its_size(name, size):
    assert converted(checkpoint_of(V1), name).config.input_size == size


@pytest.mark.parametrize("naming", ["ppdet", "picodet"])
def test_every_tensor_is_accounted_for(naming):
    arrays = checkpoint_of(V2) if naming == "ppdet" else weights_of(V2)
    found = converted(arrays, naming=naming)
    assert not differing(found.weights, V2)
    skipped, initialized = {"ppdet": (20, 74), "picodet": (0, 0)}[naming]
    assert (found.tensors, len(found.skipped)) == (len(arrays), skipped)
    assert (found.mapped, len(found.initialized)) == (len(arrays) - skipped, initialized)


def test_what_is_missing_or_too_much_is_an_error_with_a_table():
    arrays = {n: a for n, a in checkpoint_of(V2).items() if "head_reg1" not in n}
    with pytest.raises(IncompleteError, match="does not fit picodet_xs_lcnet_416") as caught:
        converted(arrays)
    found = [(p.kind, p.name) for p in caught.value.problems]
    assert found == [
        ("missing", "head.head_reg1.bias"),
        ("missing", "head.head_reg1.weight"),
        ("wrong value", "head.head_reg_list.1.bias"),
        ("wrong value", "head.head_reg_list.1.weight"),
    ]


def test_another_detector_is_named_as_such():
    other = {"backbone.conv1.conv.weight": np.ones((16, 3, 3, 3)), "neck.x": np.ones(1)}
    other["neck.conv_t.convs.0.bn.bias"] = np.ones(96)
    message = "not a PicoDet .* is picodet_s_lcnet, which matches 2 of its 3 tensors"
    with pytest.raises(ConversionError, match=message):
        converted(other)


@pytest.mark.parametrize(
    ("name", "detector"),
    [
        ("yolo_head.stem_cls.0.fc.weight", "PP-YOLOE"),
        ("yolo_head.yolo_output.0.weight", "PP-YOLO or YOLOv3"),
        ("transformer.decoder.layers.0.linear1.weight", "RT-DETR or another DETR"),
    ],
)
def test_other_detectors_are_called_by_their_name(name, detector):
    with pytest.raises(ConversionError, match=f"the tensors of {detector}, not of a PicoDet"):
        converted({name: np.ones(3, np.float32)})


class TestOwnFile:
    """A file of ours says everything; the user may say otherwise."""

    def converted(self, file_config=V2, **options):
        return converted(weights_of(V2), naming="picodet", file_config=file_config, **options)

    def test_is_believed(self):
        found = self.converted(replace(V2, name="mine"))
        assert found.config == replace(V2, name="mine")
        assert found.notes == ()

    def test_size_and_classes_can_be_changed(self):
        config = self.converted(input_size=(416, 416), classes=("x", "y", "z")).config
        assert (config.input_size, config.classes) == ((416, 416), ("x", "y", "z"))
        assert config.name == "picodet_xs_lcnet_416"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"config": "picodet_s_416_coco"}, "--config picodet_s_416_coco: the file states that"),
            ({"classes": ("a",)}, "--classes: 1 names found; the tensors have 3 classes"),
            ({"input_size": (100, 96)}, "multiples of 32"),
        ],
    )
    def test_but_not_what_its_weights_contradict(self, options, message):
        with pytest.raises(ConversionError, match=message):
            self.converted(**options)

    def test_an_architecture_of_nobody_else_is_one_too(self):
        """Recognized from its tensors it would be another."""
        config = replace(V2, channels=16)
        found = converted(weights_of(config), naming="picodet", file_config=config)
        assert found.config == config

    def test_meta_and_weights_have_to_agree(self):
        with pytest.raises(IncompleteError, match="does not fit"):
            self.converted(replace(V2, head_convs=2))


class TestBackbone:
    """ImageNet weights, as training starts from."""

    TAIL = ("_conv2._conv.weight", "last_conv.weight", "fc.weight", "fc.bias")

    @pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
    @pytest.mark.parametrize("prefix", ["", "backbone."])
    def test_in_ppdets_names(self, variant, prefix):
        arrays = backbone_of(checkpoint_of_variant(variant))
        tail = {name: np.ones(3, np.float32) for name in self.TAIL}
        found = converted({prefix + n: a for n, a in (arrays | tail).items()})
        name = re.sub(
            "_(leaky_relu|relu6)$", "", variant.backbone.name
        )  # which weights do not tell
        assert (found.kind, found.config.name) == ("backbone", name)
        assert found.config.classes == ()
        assert [tensor.name for tensor in found.skipped] == [prefix + name for name in self.TAIL]
        assert (found.mapped, found.tensors) == (len(arrays), len(arrays) + 4)

    @pytest.mark.parametrize("config", [V1, V2], ids=lambda config: config.name)
    @pytest.mark.parametrize("prefix", ["", "backbone."])
    def test_in_ours(self, config, prefix):
        arrays = backbone_of(weights_of(config))
        found = converted({prefix + n: a for n, a in arrays.items()}, naming="picodet")
        assert found.config.backbone == config.backbone
        assert found.weights.keys() == arrays.keys()
        assert all(found.weights[n].tobytes() == a.tobytes() for n, a in arrays.items())

    def test_in_paddleclas_names(self):
        ours = {
            name: array
            for name, array in weights_of(V1).items()
            if name.startswith("backbone.") and not name.endswith(TORCH_ONLY_SUFFIX)
        }
        there = {CLAS_BACKBONE.to_paddle(name).name: array for name, array in ours.items()}
        assert {"backbone.conv1.conv.weight", "backbone.blocks.3.pw_2_1.bn._mean"} <= set(there)
        found = converted(backbone_of(there))
        assert found.config.name == "esnet_x0_75"
        for name, array in backbone_of(ours).items():
            assert found.weights[name].tobytes() == array.tobytes()

    def test_a_name_with_prefix_and_without_is_not_dropped(self):
        arrays = {n: a for n, a in checkpoint_of(V1).items() if n.startswith("backbone.")}
        arrays["_conv1._conv.weight"] = arrays["backbone._conv1._conv.weight"] + 1
        with pytest.raises(ConversionError, match="not a PicoDet"):
            converted(arrays)

    def test_other_widths_are_no_backbone_of_a_picodet(self):
        arrays = {"blocks.0.concat_pw.conv.weight": np.ones((88, 88, 1, 1), np.float32)}
        with pytest.raises(ConversionError, match=r"an ESNet of \[88\] channels"):
            converted(arrays)

    @pytest.mark.parametrize("options", [{"classes": ("a",)}, {"input_size": (96, 96)}])
    def test_options_of_detectors_do_not_apply(self, options):
        with pytest.raises(ConversionError, match="holds only a backbone"):
            converted(backbone_of(checkpoint_of(V1)), **options)


def checkpoint_of_variant(variant):
    return zeros(replace(variant, classes=S.classes))


def backbone_of(arrays):
    beginning = "backbone."
    return {n.removeprefix(beginning): a for n, a in arrays.items() if n.startswith(beginning)}


def test_pruned_channels_are_named():
    """PaddleSlim makes a network narrower; every tensor still has its place."""
    narrow = {
        name: array[: len(array) // 2] if ".conv_feat." in name and array.ndim else array
        for name, array in checkpoint_of(V1).items()
    }
    with pytest.raises(IncompleteError, match="channels were pruned, as PaddleSlim does"):
        converted(narrow)
