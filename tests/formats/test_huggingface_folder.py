"""A directory as Hugging Face's hub has it, written and read."""

import ast
import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from picodet.errors import CheckpointError
from picodet.formats import huggingface_folder
from picodet.formats.meta import config_from_meta, make_meta
from picodet.zoo.architectures import S

CONFIG = replace(S, classes=("cat", "ż"), input_size=(96, 64))
META = make_meta(CONFIG, "detector", "x.pdparams", "ab" * 32)
WEIGHTS = {"a": np.arange(3, dtype=np.float32)}


@pytest.fixture
def folder(tmp_path):
    huggingface_folder.write(tmp_path / "hub", WEIGHTS, META)
    return tmp_path / "hub"


def content(path):
    return json.loads(path.read_text(encoding="utf-8"))


def changed(path, **changes):
    path.write_text(json.dumps(content(path) | changes))


def test_what_its_users_look_for_is_there(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "modeling_picodet.py",
        "preprocessor_config.json",
    ]
    config = content(folder / "config.json")
    assert config["architectures"] == ["PicoDetForObjectDetection"]
    assert config["auto_map"] == {
        "AutoConfig": "modeling_picodet.PicoDetConfig",
        "AutoModelForObjectDetection": "modeling_picodet.PicoDetForObjectDetection",
    }
    assert config["model_type"] == "picodet"
    assert config["id2label"] == {"0": "cat", "1": "ż"}
    assert config["label2id"] == {"cat": 0, "ż": 1}
    assert content(folder / "preprocessor_config.json") == {
        "image_processor_type": "PicoDetImageProcessor",
        "auto_map": {"AutoImageProcessor": "modeling_picodet.PicoDetImageProcessor"},
        "do_resize": True,
        "size": {"height": 96, "width": 64},
        "resample": 3,
        "opencv_interp": 2,
        "opencv_kernels": "native",
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    assert load_file(folder / "model.safetensors")["a"].tolist() == [0, 1, 2]


def test_the_python_file_has_the_classes_that_are_named(folder):
    module = ast.parse((folder / "modeling_picodet.py").read_text(encoding="utf-8"))
    defined = {node.name for node in module.body if isinstance(node, ast.ClassDef)}
    maps = [
        content(folder / file)["auto_map"] for file in ("config.json", "preprocessor_config.json")
    ]
    assert {name for each in maps for name in each.values()} == {
        f"modeling_picodet.{name}" for name in defined
    }


def test_the_python_file_is_never_run(folder):
    (folder / "modeling_picodet.py").write_text("raise SystemExit")
    assert config_from_meta(huggingface_folder.read_meta(folder)) == CONFIG


def test_nothing_is_written_twice_and_all_of_it_is_read(folder):
    own = content(folder / "config.json")["picodet"]
    assert not {"classes", "input_size", "preprocessing"} & own.keys()
    meta = huggingface_folder.read_meta(folder)
    assert config_from_meta(meta) == CONFIG
    assert (meta["source"], meta["sha256"]) == ("x.pdparams", "ab" * 32)


@pytest.mark.parametrize(("interp", "pil"), [(0, 0), (1, 2), (2, 3), (3, 4), (4, 1)])
def test_interpolations_have_two_numbers(tmp_path, interp, pil):
    """PIL's: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box."""
    preprocessing = replace(CONFIG.preprocessing, interp=interp)
    meta = make_meta(replace(CONFIG, preprocessing=preprocessing), "detector", "", "")
    huggingface_folder.write(tmp_path / "x", WEIGHTS, meta)
    assert content(tmp_path / "x" / "preprocessor_config.json")["resample"] == pil
    assert (
        config_from_meta(huggingface_folder.read_meta(tmp_path / "x")).preprocessing.interp
        == interp
    )


def test_is_recognized_by_its_files(folder, tmp_path):
    assert huggingface_folder.is_hub_folder(folder)
    assert not huggingface_folder.is_hub_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    assert not huggingface_folder.is_hub_folder(folder)


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"id2label": {"0": "cat", "2": "dog"}}),
        ("config.json", {"id2label": ["cat", "dog"]}),
        ("config.json", {"id2label": 3}),
        ("config.json", {"picodet": None}),
        ("preprocessor_config.json", {"size": 96}),
        ("preprocessor_config.json", {"size": {"shortest_edge": 96}}),
        ("preprocessor_config.json", {"resample": 2}),
        ("preprocessor_config.json", {"do_resize": False}),
        ("preprocessor_config.json", {"rescale_factor": 1}),
        ("preprocessor_config.json", {"opencv_interp": [2]}),
    ],
)
def test_what_does_not_agree_is_refused(folder, file, changes):
    changed(folder / file, **changes)
    with pytest.raises(
        CheckpointError, match=r"invalid config\.json or preprocessor_config\.json: "
    ):
        huggingface_folder.read_meta(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ("[1]", r"found \[1\]; expected a dictionary"),
        ("[" * 100_000, "cannot be read as JSON"),
        (" " * 2_000_001, "cannot be read as JSON: 2,000,001 bytes"),
        (None, "cannot be read as JSON: .*No such file"),
    ],
)
def test_other_files_are_errors(folder, text, message):
    path = folder / "preprocessor_config.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(CheckpointError, match=message):
        huggingface_folder.read_meta(folder)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_a_duplicate_key_is_refused(folder, file):
    text = (folder / file).read_text()
    (folder / file).write_text('{"size": 1, ' + text.lstrip()[1:].rstrip()[:-1] + ', "size": 2}')
    with pytest.raises(CheckpointError, match="duplicate key"):
        huggingface_folder.read_meta(folder)
