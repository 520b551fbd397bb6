"""A pipe, a device, a loop of links in place of any file that is read: one clear error each."""

import os
from pathlib import Path

import pytest

from picodet.alignment.recording.network_input import read_array
from picodet.alignment.recording.reader import Recording
from picodet.alignment.training import npz_file
from picodet.alignment.training.batch import read_batch
from picodet.converter.readers import open_source
from picodet.data.json_columns import read_json
from picodet.data.preprocess import read_image
from picodet.errors import PicoDetError
from picodet.evaluation.resume import read_progress
from picodet.formats import pdparams
from picodet.formats.infer_cfg import read_settings
from picodet.formats.torch_files import read_torch
from picodet.graphs import pdmodel, pir
from picodet.graphs.onnx_reader import read_onnx
from picodet.inference.onnxruntime_backend import OnnxRuntimeNetwork
from picodet.inference.open_backend import Running, open_network
from picodet.input_files import problem, read_bytes, regular
from picodet.models import checkpoint
from picodet.training import checkpoint as state
from picodet.training.recipes import yaml_file
from picodet.zoo.class_names import read_class_names

READERS = {
    "image.jpg": read_image,
    "names.txt": read_class_names,
    "x.pdparams": pdparams.read,
    "a.pdparams": open_source,
    "b.pth": open_source,
    "x.onnx": read_onnx,
    "y.onnx": OnnxRuntimeNetwork,
    "z.onnx": lambda path: open_network(path, Running()),
    "model.pdmodel": lambda path: pdmodel.read(path, path),
    "model.json": lambda path: pir.read(path, path),
    "infer_cfg.yml": lambda path: read_settings(path.parent),
    "x.pth": read_torch,
    "y.pth": checkpoint.load,
    "x.safetensors": read_torch,
    "input.npy": read_array,
    "batch.npz": lambda path: read_batch(path, 80),
    "training.npz": npz_file.read,
    "recording.safetensors": Recording,
    "annotations.json": read_json,
    "annotations.json.gz": read_json,
    "part.npz": lambda path: read_progress(path, {}, {}),
    "recipe.yml": lambda path: yaml_file.resolve(str(path)),
    "000000001.safetensors": state.load,
}
# a device that has an end: of /dev/zero the old readers would read for ever
SPECIAL = {"pipe": os.mkfifo, "device": lambda path: path.symlink_to(os.devnull)}


def loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.skipif(os.name == "nt", reason="Windows has none of them")
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", [*SPECIAL, "loop", "folder"])
def test_what_is_no_file_is_one_error(tmp_path, name, kind):
    path = tmp_path / name
    (SPECIAL | {"loop": loop, "folder": Path.mkdir})[kind](path)
    with pytest.raises(PicoDetError) as caught:
        READERS[name](path)
    assert str(path) in str(caught.value) or str(tmp_path) in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has none of them")
def test_what_kind_it_is_stands_in_the_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    loop(tmp_path / "loop")
    (tmp_path / "file").touch()
    assert problem(tmp_path / "pipe") == "a named pipe; a regular file is expected"
    assert problem(Path(os.devnull)) == "a device; a regular file is expected"
    assert problem(tmp_path) == "Is a directory"
    assert problem(tmp_path / "none") == "there is no such file"
    assert "symbolic links" in problem(tmp_path / "loop")
    assert problem(Path("a\0b")).startswith("no file has such a name")
    assert problem(tmp_path / "file") is None
    assert regular(tmp_path / "file") == tmp_path / "file"


def test_no_more_is_read_than_the_limit(tmp_path):
    (tmp_path / "x").write_bytes(b"four")
    assert read_bytes(tmp_path / "x", 4) == b"four"
    with pytest.raises(OSError, match="more than 3 bytes"):
        read_bytes(tmp_path / "x", 3)
