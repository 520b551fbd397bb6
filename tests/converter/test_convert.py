"""A file in any form becomes one in another, whole or not at all."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SMALL, V1, V2, checkpoint_of, differing, written

import picodet
from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_file, convert_model, load
from picodet.converter.converted_model import IncompleteError
from picodet.errors import CheckpointError, ConversionError, OutputError
from picodet.formats import pdparams
from picodet.models.checkpoint import load_backbone
from scripts.fixtures import seeded

NAMED = ConvertOptions(input_size=(96, 128), classes=V1.classes)


@pytest.fixture
def source(tmp_path):
    return written(V1, tmp_path / "model.pdparams")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
def test_the_model_that_is_written_is_the_models(source, suffix):
    output = source.with_name(f"out{suffix}")
    report = convert_file(source, output, NAMED)
    assert (report.variant, report.kind, report.classes) == ("picodet_s_96x128", "detector", 3)
    assert (report.form, report.input_size) == ("ppdet checkpoint", (96, 128))
    assert (report.tensors, report.mapped, len(report.skipped)) == (540, 536, 4)
    assert report.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    model = picodet.load(output)
    assert model.config == replace(V1, name="picodet_s_96x128")
    assert report.parameters == sum(p.numel() for p in model.parameters())
    assert not differing({n: v.numpy() for n, v in model.state_dict().items()}, V1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [config for config in SMALL.values() if config.activation != "leaky_relu"],  # not in tensors
    ids=lambda config: config.name,
)
def test_every_architecture_there_and_back_and_there(tmp_path, config):
    """Through files: .pdparams, .safetensors, .pdparams, each time bit for bit the same."""
    first = written(config, tmp_path / "first.pdparams")
    wanted = ConvertOptions(input_size=config.input_size, classes=config.classes)
    convert_file(first, tmp_path / "ours.safetensors", wanted)
    loaded = picodet.load(tmp_path / "ours.safetensors").config
    assert replace(loaded, name=config.name) == config
    back = convert_file(tmp_path / "ours.safetensors", tmp_path / "back.pdparams", ConvertOptions())
    arrays, expected = pdparams.read(tmp_path / "back.pdparams"), checkpoint_of(config)
    assert arrays.keys() == expected.keys()
    twins = {name for name in arrays if "_list." in name}
    scales = {f"head.p{level}_feat.scale_reg" for level in (3, 4, 5, 6)}
    assert {one.name for one in back.reconstructed} == twins | scales
    for name in arrays.keys() - scales:
        assert arrays[name].tobytes() == expected[name].tobytes(), name
    _, ported = convert_model(tmp_path / "back.pdparams", wanted)
    assert not differing(ported.weights, config)


@pytest.mark.slow
@settings(max_examples=6)
@given(
    st.integers(1, 2),
    st.tuples(*[st.integers(1, 8).map(lambda n: 32 * n)] * 2),
    st.sampled_from([".pth", ".safetensors", ""]),
)
def test_what_a_file_of_ours_says_arrives_in_the_next(tmp_path_factory, count, size, form):
    folder = tmp_path_factory.mktemp("ours")
    config = replace(V2, classes=("ä", "b")[:count])
    wanted = ConvertOptions(input_size=size, classes=config.classes)
    convert_file(written(config, folder / "a.pdparams"), folder / f"b{form}", wanted)
    convert_file(folder / f"b{form}", folder / "c.pth", ConvertOptions())
    found = picodet.load(folder / "c.pth").config
    expected = replace(config, name=found.name, input_size=size)
    assert found == picodet.load(folder / f"b{form}").config == expected


def test_a_model_is_loaded_without_a_file_of_ours(source):
    origin, model = load(source, NAMED)
    assert origin.path == source
    assert not model.training
    assert not differing({n: v.numpy() for n, v in model.state_dict().items()}, V1)


def test_a_backbone_alone_is_no_detector(tmp_path):
    arrays = {n: a for n, a in checkpoint_of(V2).items() if n.startswith("backbone.")}
    seeded.write(arrays, tmp_path / "b.pdparams")
    with pytest.raises(
        ConversionError, match=r"only a backbone \(lcnet_x0_35\); expected a detector"
    ):
        load(tmp_path / "b.pdparams", ConvertOptions())
    convert_file(tmp_path / "b.pdparams", tmp_path / "b.pth", ConvertOptions())
    assert len(load_backbone(tmp_path / "b.pth").state_dict()) == 27 * 6 + 8
    for name in ("c.pdparams", "c"):
        with pytest.raises(OutputError, match=r"only a backbone; expected \.pth or \.safetensors"):
            convert_file(tmp_path / "b.pth", tmp_path / name, ConvertOptions())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.pdparams", "b.pth"]


def test_problems_are_gathered_and_nothing_is_written(source):
    broken = dict(checkpoint_of(V1))
    del broken["head.head_cls1.bias"]
    broken["backbone.new"] = np.ones(1, np.float32)
    seeded.write(broken, source)
    with pytest.raises(IncompleteError, match="nothing was written") as caught:
        convert_file(source, source.with_suffix(".pth"), NAMED)
    found = [(p.kind, p.name) for p in caught.value.problems]
    assert found == [("missing", "head.head_cls1.bias"), ("unexpected", "backbone.new")]
    assert list(source.parent.iterdir()) == [source]


@pytest.mark.parametrize("name", ["out.pth", "out.pdparams"])
def test_an_output_is_replaced_only_if_asked_for(source, name):
    output = source.with_name(name)
    output.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        convert_file(source, output, NAMED)
    assert output.read_text() == "mine"
    convert_file(source, output, NAMED, overwrite=True)
    assert not differing(convert_model(output, NAMED)[1].weights, V1)


def test_a_directory_keeps_what_else_it_holds(source):
    output = source.with_name("folder")
    output.mkdir()
    convert_file(source, output, NAMED)  # one that is empty is as good as none
    (output / "README.md").write_text("mine")
    (output / "config.json").write_text("old")
    with pytest.raises(OutputError, match="holds files already; --overwrite replaces those that"):
        convert_file(source, output, NAMED)
    convert_file(source, output, NAMED, overwrite=True)
    assert (output / "README.md").read_text() == "mine"
    assert picodet.load(output).config.classes == V1.classes


def test_no_source_is_overwritten(source):
    with pytest.raises(OutputError, match="name another file"):
        convert_file(source, source, NAMED, overwrite=True)
    folder = source.with_name("folder")
    convert_file(source, folder, NAMED)
    before = (folder / "model.safetensors").read_bytes()
    for same in (folder, folder / "model.safetensors"):
        with pytest.raises(OutputError, match="name another file"):
            convert_file(same, folder, NAMED, overwrite=True)
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["out.onnx", "no/out.pth"])
def test_the_output_is_checked_before_any_work(tmp_path, name):
    with pytest.raises(OutputError):
        convert_file(tmp_path / "absent.pdparams", tmp_path / name, ConvertOptions())


def test_garbage_is_an_error_and_leaves_nothing(source):
    source.write_bytes(source.read_bytes()[:-100])
    for name in ("out.pth", "out", "out.pdparams"):
        with pytest.raises(CheckpointError, match="truncated or damaged"):
            convert_file(source, source.with_name(name), ConvertOptions())
    assert list(source.parent.iterdir()) == [source]


def test_weights_that_are_no_numbers_go_through_if_asked_for(source):
    arrays = dict(checkpoint_of(V1))
    arrays["head.head_cls1.bias"] = np.full(35, np.nan, np.float32)
    seeded.write(arrays, source)
    with pytest.raises(IncompleteError):
        convert_file(source, source.with_name("out"), NAMED)
    convert_file(source, source.with_name("out"), NAMED, allow_nonfinite=True)
    bias = picodet.load(source.with_name("out")).head.predictors[1].bias
    assert bias.isnan().all()


def test_numbers_of_other_formats_arrive_and_are_counted(source):
    arrays = dict(checkpoint_of(V1))
    name = "head.head_cls1.bias"
    arrays[name] = arrays[name].astype(np.float16)
    seeded.write(arrays, source)
    report = convert_file(source, source.with_name("out.pth"), NAMED)
    assert report.dtypes == {"float32": 535, "float16": 1}
    bias = picodet.load(source.with_name("out.pth")).head.predictors[1].bias
    assert np.array_equal(bias.detach().numpy(), arrays[name].astype(np.float32))


def test_the_source_is_only_read(source):
    before = source.read_bytes()
    convert_file(source, source.with_name("out.pth"), NAMED)
    model = picodet.load(source.with_name("out.pth"))
    model.head.predictors[0].bias.data.zero_()
    assert source.read_bytes() == before
