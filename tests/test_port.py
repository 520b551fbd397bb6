"""A checkpoint file becomes one of ours, whole or not at all."""

import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
import seeded
from tracing import SMALL, filled, seeded_checkpoint

import picodet
from picodet.config import VARIANTS
from picodet.converter.configure import Wanted
from picodet.converter.one_sided import OURS_ONLY_SUFFIX
from picodet.converter.rules import CLAS_BACKBONE
from picodet.errors import CheckpointError, ConversionError, OutputError
from picodet.models.checkpoint import load_backbone
from picodet.models.esnet import ESNet
from picodet.port import IncompleteError, port_checkpoint

NAMED = Wanted(input_size=(128, 128), classes=SMALL.classes)


@pytest.fixture(scope="module")
def checkpoint():
    return seeded_checkpoint(SMALL)


@pytest.fixture
def source(tmp_path, checkpoint):
    seeded.write(checkpoint, tmp_path / "model.pdparams")
    return tmp_path / "model.pdparams"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_model_that_is_written_is_the_models(source, checkpoint, suffix):
    output = source.with_suffix(suffix)
    report = port_checkpoint(source, output, NAMED)
    assert (report.variant, report.kind, report.classes) == ("picodet_s_128", "detector", 3)
    assert (report.tensors, report.mapped, len(report.left_out)) == (580, 576, 4)
    assert report.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    model, expected = picodet.load(output), filled(SMALL, checkpoint)
    assert model.config == replace(SMALL, name="picodet_s_128")
    assert report.parameters == sum(p.numel() for p in model.parameters())
    for name, value in expected.state_dict().items():
        assert np.array_equal(model.state_dict()[name].numpy(), value.numpy()), name


def test_problems_are_gathered_and_nothing_is_written(source, checkpoint):
    broken = dict(checkpoint)
    del broken["head.head_cls1.bias"]
    broken["backbone.new"] = np.ones(1, np.float32)
    seeded.write(broken, source)
    with pytest.raises(IncompleteError, match="nothing was written") as caught:
        port_checkpoint(source, source.with_suffix(".pth"), NAMED)
    found = [(p.kind, p.name) for p in caught.value.problems]
    assert found == [("missing", "head.head_cls1.bias"), ("unexpected", "backbone.new")]
    assert list(source.parent.iterdir()) == [source]


def test_an_output_is_replaced_only_if_asked_for(source):
    output = source.with_suffix(".pth")
    output.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        port_checkpoint(source, output, NAMED)
    assert output.read_text() == "mine"
    port_checkpoint(source, output, NAMED, overwrite=True)
    assert picodet.load(output)


def test_the_suffix_is_checked_before_any_work(tmp_path):
    with pytest.raises(OutputError, match="suffix"):
        port_checkpoint(tmp_path / "absent.pdparams", tmp_path / "out.onnx", Wanted())


def test_other_detectors_are_named_as_such(source):
    other = {"backbone.conv1.conv.weight": np.ones((16, 3, 3, 3)), "neck.x": np.ones(1)}
    other["neck.conv_t.convs.0.bn.bias"] = np.ones(96)
    source.write_bytes(pickle.dumps(other))
    message = "not a PicoDet .* nearest is picodet_s, which has a place for 1 of its 3 tensors"
    with pytest.raises(ConversionError, match=message):
        port_checkpoint(source, source.with_suffix(".pth"), Wanted())


def test_garbage_is_an_error(source):
    source.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        port_checkpoint(source, source.with_suffix(".pth"), Wanted())


class TestBackbone:
    """ImageNet weights, as training starts from."""

    TAIL = ("_conv2._conv.weight", "last_conv.weight", "fc.weight", "fc.bias")

    def written(self, source, arrays):
        seeded.write(arrays, source)
        return port_checkpoint(source, source.with_suffix(".pth"), Wanted(), overwrite=True)

    @pytest.mark.parametrize("variant", VARIANTS)
    @pytest.mark.parametrize("prefix", ["", "backbone."])
    def test_in_ppdets_names(self, source, variant, prefix):
        shapes = {n: s for n, s in seeded.shapes(variant).items() if n.startswith("backbone.")}
        arrays = seeded.checkpoint(shapes)
        tail = {name: np.ones(3, np.float32) for name in self.TAIL}
        bare = {name.removeprefix("backbone."): value for name, value in arrays.items()}
        report = self.written(source, {prefix + n: v for n, v in (bare | tail).items()})
        assert (report.kind, report.variant, report.classes) == ("backbone", variant.backbone, 0)
        assert [tensor.name for tensor in report.left_out] == [prefix + name for name in self.TAIL]
        assert (report.mapped, report.tensors) == (len(arrays), len(arrays) + 4)
        loaded = load_backbone(source.with_suffix(".pth"))
        block = "backbone.3_2._conv_linear._conv.weight"
        weight = loaded.stage3["block2"].conv_linear.conv.weight.detach().numpy()
        assert np.array_equal(weight, arrays[block])

    def test_a_name_with_prefix_and_without_is_not_dropped(self, source):
        shapes = {n: s for n, s in seeded.shapes(SMALL).items() if n.startswith("backbone.")}
        arrays = seeded.checkpoint(shapes)
        arrays["_conv1._conv.weight"] = arrays["backbone._conv1._conv.weight"] + 1
        with pytest.raises(ConversionError, match="not a PicoDet"):
            self.written(source, arrays)

    def test_in_paddleclas_names(self, source):
        shapes = {n: tuple(v.shape) for n, v in ESNet(VARIANTS[0].stages).state_dict().items()}
        arrays = {
            CLAS_BACKBONE.to_paddle("backbone." + name).name.removeprefix("backbone."): np.full(
                shape, i, np.float32
            )
            for i, (name, shape) in enumerate(shapes.items())
            if not name.endswith(OURS_ONLY_SUFFIX)
        }
        assert {"conv1.conv.weight", "blocks.3.pw_2_1.bn._mean"} <= set(arrays)
        report = self.written(source, arrays)
        assert report.variant == "esnet_x0_75"
        loaded = load_backbone(source.with_suffix(".pth"))
        expected = arrays["blocks.3.pw_2_1.bn._mean"]
        assert np.array_equal(loaded.stage3["block1"].conv_pw2.bn.running_mean, expected)

    def test_other_widths_are_no_backbone_of_a_picodet(self, source):
        arrays = {"blocks.0.concat_pw.conv.weight": np.ones((88, 88, 1, 1), np.float32)}
        with pytest.raises(ConversionError, match=r"an ESNet of \[88\] channels"):
            self.written(source, arrays)

    def test_options_of_detectors_do_not_apply(self, source):
        shapes = {n: s for n, s in seeded.shapes(SMALL).items() if n.startswith("backbone.")}
        seeded.write(seeded.checkpoint(shapes), source)
        with pytest.raises(ConversionError, match="a backbone only"):
            port_checkpoint(source, source.with_suffix(".pth"), NAMED)
