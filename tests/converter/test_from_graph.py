"""A graph whose tensors have lost their names becomes the model it was drawn from."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnx_forms import onnx_model_of, with_constants, with_inputs, with_pieces, write
from small_models import SMALL, V1, V2, differing, model_of

from picodet.config import Preprocessing
from picodet.converter.configure import ConvertOptions, FileHints
from picodet.converter.convert import convert_model
from picodet.converter.from_graph import from_graph
from picodet.converter.sources import GraphSource, Origin
from picodet.errors import ConversionError, GraphError
from picodet.exporter.model_proto import build_model
from picodet.exporter.options import ExportOptions as Export
from picodet.formats.meta import make_meta
from picodet.graphs.onnx_reader import read_graph
from picodet.models.folding import fold_batch_norms
from picodet.models.picodet import PicoDet
from picodet.zoo.architectures import LCNET_X2_5
from picodet.zoo.official import CONFIGS

BOTH = pytest.mark.parametrize("config", [V1, V2], ids=["2021", "2022"])


@cache
def content_of(config, is_folded=False):
    model = model_of(config)
    return onnx_model_of(fold_batch_norms(model) if is_folded else model).SerializeToString()


def proto_of(config, is_folded=False):
    return onnx.ModelProto.FromString(content_of(config, is_folded))


HINTS = FileHints("x", (96, 128))


def converted(proto, hints=HINTS, ppdet_names=None, **options):
    origin = Origin(Path("x.onnx"), "test")
    source = GraphSource(origin, read_graph(proto.graph), hints, ppdet_names=ppdet_names or {})
    return from_graph(source, ConvertOptions(**options), allow_nonfinite=False)


@pytest.mark.slow
@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_every_architecture_arrives_bit_for_bit(config):
    found = converted(proto_of(config))
    assert not differing(found.weights, config)
    assert found.config == replace(config, name=found.config.name, classes=found.config.classes)
    assert (found.skipped, found.mapped) == ((), found.tensors)
    assert {one.name.rsplit(".", 1)[1] for one in found.initialized} == {
        "num_batches_tracked",
        "project",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "change", "is_folded"),
    [
        (V1, with_pieces, True),
        (V1, with_constants, False),
        *((V2, change, False) for change in (with_constants, with_inputs, with_pieces)),
        *((V2, change, True) for change in (with_constants, with_inputs, with_pieces)),
    ],
)
def test_in_every_form(tmp_path, config, change, is_folded):
    """Through a file; a folded model has the convolutions of the file, and the biases as shifts."""
    proto = proto_of(config, is_folded)
    change(proto)
    _, found = convert_model(
        write(proto, tmp_path / "x.onnx"), ConvertOptions(classes=config.classes)
    )
    if not is_folded:
        assert not differing(found.weights, config)
        return
    for path, layer in fold_batch_norms(model_of(config)).named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            weight = found.weights[f"{path}.weight"]
            assert weight.tobytes() == layer.weight.detach().numpy().tobytes(), path


@BOTH
def test_a_folded_model_computes_the_same_and_says_what_it_is(config):
    found = converted(proto_of(config, is_folded=True))
    norms = [name for name in found.weights if name.endswith(".running_var")]
    for name in norms:
        owner = name.removesuffix(".running_var")
        assert np.float32(found.weights[name] + np.float32(1e-5)).tolist() == [1] * len(
            found.weights[name]
        )
        assert not found.weights[f"{owner}.running_mean"].any()
    note = found.notes[-1]
    assert note.startswith(f"{len(norms)} batch norms were folded into their convolutions")
    assert "fine-tuning needs care" in note
    model = PicoDet(config).eval()
    model.load_state_dict({n: torch.from_numpy(a) for n, a in found.weights.items()})
    images = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for ours, theirs in zip(model(images).reg, model_of(config)(images).reg, strict=True):
            assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()


def test_what_is_not_folded_is_not_reported_as_such():
    found = converted(proto_of(V2))
    assert [note.split(":")[0] for note in found.notes] == [
        "the class names are unknown, so the classes are numbered; --classes FILE sets them",
        "mean, std and interp are ppdet's defaults",
    ]


def test_what_the_file_says_is_taken():
    hints = FileHints("x", (64, 64), ("cat", "dog", "cow"), Preprocessing((0, 0, 0), (1, 1, 1), 1))
    found = converted(proto_of(V2), hints)
    assert found.config == replace(
        V2,
        name="picodet_xs_lcnet_64",
        input_size=(64, 64),
        classes=hints.classes,
        preprocessing=hints.preprocessing,
    )
    assert found.notes == ()


def test_a_list_of_labels_that_is_wrong_is_reported_and_left_out():
    found = converted(proto_of(V2), FileHints("x", (64, 64), ("cat", "dog")))
    assert found.config.classes == ("class 0", "class 1", "class 2")
    assert "x lists 2 classes, its tensors have 3: the list was ignored" in found.notes[0]


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("level", ["heads", "detections"])
def test_our_own_export_comes_back_as_what_it_was(tmp_path, config, level):
    """Folded, with what decodes and suppresses behind it, and its meta in the file."""
    meta = make_meta(config, "detector", "x", "0" * 64)
    proto = build_model(model_of(config), Export(level), meta)
    _, found = convert_model(write(proto, tmp_path / "x.onnx"), ConvertOptions())
    assert found.config == config
    bins = "head.integral.project"
    assert bins not in [
        one.name for one in found.initialized
    ]  # one of heads says them in its metadata
    assert (found.skipped == ()) == (level == "heads")
    assert not any("ppdet's defaults" in note for note in found.notes)


@pytest.mark.slow
def test_even_then_the_user_may_say_otherwise():
    origin = Origin(Path("x.onnx"), "test")
    graph = read_graph(proto_of(V2).graph)
    source = GraphSource(origin, graph, HINTS, config=replace(V2, name="mine"))
    assert from_graph(source, ConvertOptions(), allow_nonfinite=False).config.name == "mine"
    options = ConvertOptions(classes=("x", "y", "z"), input_size=(64, 64))
    config = from_graph(source, options, allow_nonfinite=False).config
    assert (config.classes, config.input_size) == (("x", "y", "z"), (64, 64))
    with pytest.raises(ConversionError, match="the file states that it is mine"):
        from_graph(source, ConvertOptions(config="picodet_s_416_coco"), allow_nonfinite=False)


def test_bins_that_the_file_does_not_hold_are_made_again():
    found = converted(proto_of(V2))
    assert found.weights["head.integral.project"].tolist() == list(range(8))
    assert "0, 1, 2" in found.initialized[-1].reason


@pytest.mark.slow
def test_decoding_by_other_strides_is_noted():
    proto = build_model(model_of(V2), Export("boxes"), make_meta(V2, "detector", "x", "0" * 64))
    assert "PicoDet at" not in " ".join(converted(proto).notes)
    (strides,) = [t for t in proto.graph.initializer if t.name == "anchor_points.strides"]
    strides.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(strides) * 2, strides.name))
    note = converted(proto).notes[-1]
    assert note.startswith("anchor_points.strides: not the anchor points and strides of a PicoDet")


def test_half_precision_arrives():
    proto = proto_of(V2)
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), tensor.name))
    found = converted(proto)
    assert found.dtypes == {"float16": 90, "float32": 312}
    assert {array.dtype.name for array in found.weights.values()} == {"float32", "int64"}


def test_weights_that_are_no_numbers_are_refused():
    proto = proto_of(V2)
    array = np.full_like(numpy_helper.to_array(proto.graph.initializer[0]), np.nan)
    tensor = numpy_helper.from_array(array, proto.graph.initializer[0].name)
    proto.graph.initializer[0].CopyFrom(tensor)
    with pytest.raises(ConversionError, match=r"does not fit .* 1 problem"):
        converted(proto)


class TestNamesBeside:
    """A .pdiparams.info gives ppdet's names; the graph has to agree."""

    STEM, OTHER = "backbone.conv1.conv.weight", "backbone.blocks2.0.dw_conv.conv.weight"

    def test_that_agree(self):
        assert not differing(converted(proto_of(V2), ppdet_names={"c0": self.STEM}).weights, V2)

    def test_that_nobody_knows_say_nothing(self):
        assert not differing(
            converted(proto_of(V2), ppdet_names={"c0": "x.y", "z": "x"}).weights, V2
        )

    def test_that_contradict_it(self):
        message = f"c0 is {self.STEM} by the structure of the graph, .* say {self.OTHER}"
        with pytest.raises(GraphError, match=message):
            converted(proto_of(V2), ppdet_names={"c0": self.OTHER})


@pytest.mark.slow
def test_a_leaky_relu_is_an_architecture_of_its_own():
    leaky = replace(CONFIGS["picodet_PPLCNet_x2_5_mainbody_lite_v1.0"], input_size=(96, 128))
    found = converted(proto_of(leaky))
    assert (found.config.activation, found.config.backbone) == ("leaky_relu", leaky.backbone)
    assert found.config.name == "picodet_lcnet_2_5x_leaky_relu_96x128"
    assert not differing(found.weights, leaky)
    usual = replace(leaky, backbone=LCNET_X2_5, activation="hardswish")
    assert converted(proto_of(usual)).config.backbone == LCNET_X2_5
    named = replace(HINTS, name=leaky.name)  # the graph wins over the name
    assert converted(proto_of(usual), named).config.activation == "hardswish"


def test_another_slope_is_refused():
    proto = proto_of(replace(V1, activation="leaky_relu"))
    first = next(node for node in proto.graph.node if node.op_type == "LeakyRelu")
    first.attribute.append(onnx.helper.make_attribute("alpha", 0.1))
    with pytest.raises(GraphError, match=r"leaky_relu .* has slope 0\.1.*, has 0\.01"):
        converted(proto)


@BOTH
def test_half_precision(config):
    proto = proto_of(config)
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), tensor.name))
    half = converted(proto)
    assert half.dtypes == {"float16": len(half.weights) - len(half.initialized)}
    for name, array in converted(proto_of(config)).weights.items():
        assert np.array_equal(half.weights[name], array.astype(np.float16))
