"""What a file or folder holds is told from the file, or refused with all that could be read."""

import json

import onnx
import pytest
from onnx_forms import onnx_model_of, write
from safetensors.numpy import load_file, save_file
from small_models import V1, V2, checkpoint_of, model_of, written

from picodet.converter.readers import open_source
from picodet.converter.sources import GraphSource, StateDictSource
from picodet.errors import CheckpointError
from picodet.formats import huggingface_folder
from picodet.formats.meta import make_meta


def refused(path, which=None):
    with pytest.raises(CheckpointError) as caught:
        open_source(path, which)
    return str(caught.value)


def test_a_pdparams_is_ppdets(tmp_path):
    source = open_source(written(V1, tmp_path / "picodet_s_320.pdparams"))
    assert isinstance(source, StateDictSource)
    assert (source.naming, source.hints.name) == ("ppdet", "picodet_s_320")
    assert source.arrays.keys() == checkpoint_of(V1).keys()


def test_an_onnx_says_its_size_and_perhaps_its_classes(tmp_path):
    proto = onnx_model_of(model_of(V2))
    onnx.helper.set_model_props(proto, {"character": "cat\ndog\ncow"})
    source = open_source(write(proto, tmp_path / "x.onnx"))
    assert isinstance(source, GraphSource)
    assert source.hints.input_size == (96, 128)
    assert source.hints.classes == ("cat", "dog", "cow")
    assert (source.hints.preprocessing, source.config) == (None, None)


def test_an_onnx_that_takes_any_size_says_none(tmp_path):
    proto = onnx_model_of(model_of(V2))
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert open_source(write(proto, tmp_path / "x.onnx")).hints.input_size is None


@pytest.mark.parametrize("meta", ["{", "[]", "3", "{}", '{"neck": []}', "[" * 100_000])
def test_metadata_that_claims_to_be_ours_and_is_not(tmp_path, meta):
    proto = onnx_model_of(model_of(V2))
    onnx.helper.set_model_props(proto, {"picodet": meta})
    assert "invalid metadata picodet" in refused(write(proto, tmp_path / "x.onnx"))


def test_metadata_of_ours_says_everything(tmp_path):
    proto = onnx_model_of(model_of(V2))
    meta = json.dumps(make_meta(V2, "detector", "x", "0" * 64))
    onnx.helper.set_model_props(proto, {"picodet": meta})
    assert open_source(write(proto, tmp_path / "x.onnx")).config == V2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "absent.pdparams",
            "there is no such file; expected a .pdparams or .pdema",
        ),
        ("absent", "there is no such file; expected a .pdparams"),
        ("empty", "holds nothing; expected a .pdparams"),
        ("images", "holds a.jpg; expected a .pdparams"),
        ("text.yml", "not a .pdparams, but text that begins 'picodet'"),
        ("weights.pdopt", "the state of an optimizer"),
        ("half/model.pdiparams", "one program, model.pdmodel, inference.pdmodel, model.json or"),
        ("half", "one program, model.pdmodel, inference.pdmodel, model.json or"),
    ],
)
def test_what_it_is_not(tmp_path, name, message):
    for folder in ("empty", "images", "half"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    (tmp_path / "half" / "model.pdiparams").touch()
    (tmp_path / "text.yml").write_text("picodet")
    (tmp_path / "weights.pdopt").touch()
    assert message in refused(tmp_path / name)


def test_an_export_holds_one_set_of_weights(tmp_path):
    text = refused(write(onnx_model_of(model_of(V2)), tmp_path / "x.onnx"), "raw")
    assert "--weight-set raw is for training checkpoints" in text


@pytest.mark.parametrize("kept", [("config.json", "preprocessor_config.json"), ()])
def test_weights_in_several_files_are_read(tmp_path, kept):
    """A folder of ours that somebody has split, and one without anything but weights."""
    config, path = V2, tmp_path / "split"
    huggingface_folder.write(
        path,
        {name: tensor.numpy() for name, tensor in model_of(config).state_dict().items()},
        make_meta(config, "detector", "x", "0" * 64),
    )
    arrays = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    places = {}
    for i, names in enumerate((list(arrays)[::2], list(arrays)[1::2])):
        part = f"model-{i}.safetensors"
        save_file({name: arrays[name] for name in names}, path / part)
        places |= dict.fromkeys(names, part)
    index = path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    for name in {"config.json", "preprocessor_config.json"} - {*kept}:
        (path / name).unlink()
    for opened in (path, index):
        source = open_source(opened)
        assert source.origin.path == index
        assert source.naming == "picodet"
        assert source.arrays.keys() == arrays.keys()
        assert source.config == (config if kept and opened == path else None)
