"""Every reader refuses what is no regular file: pipes, devices, loops of links, folders."""

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
from picodet.formats.settings.infer_cfg import read_infer_cfg
from picodet.formats.torch_files import read_torch
from picodet.graphs import pdmodel, pir
from picodet.graphs.onnx_reader import read_onnx
from picodet.inference.onnxruntime_backend import OnnxRuntimeBackend
from picodet.inference.open_backend import RuntimeOptions, open_backend
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
    "y.onnx": OnnxRuntimeBackend,
    "z.onnx": lambda path: open_backend(path, RuntimeOptions()),
    "model.pdmodel": lambda path: pdmodel.read(path, path),
    "model.json": lambda path: pir.read(path, path),
    "infer_cfg.yml": lambda path: read_infer_cfg(path.parent),
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
