"""Small valid files of every form that picodet reads, ways to damage them, and the promise.

The promise: a file is read, or there is one clear error; in bounded memory, by bounded work
(tests/helpers/work.py), and nothing is written. `check` holds it against one file.
`make fuzz` uses it too.
"""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import paddle_files
import torch
from more_bad_files import MORE, training_index_in, training_reindexed  # noqa: F401
from safetensors.numpy import save
from work import count_calls

from picodet.config import LCNetConfig, ModelConfig
from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_model
from picodet.errors import PicoDetError
from picodet.formats.meta import make_meta
from picodet.models import checkpoint
from picodet.models.picodet import PicoDet
from picodet.system.machine import peak_memory
from picodet.zoo.architectures import S
from picodet.zoo.class_names import read_class_names
from scripts.fixtures import seeded

MEGABYTES = 256  # limit, above the earlier peak
WIDE = ModelConfig(
    name="wide",
    backbone=LCNetConfig("lcnet_x0_05", 0.05),
    neck="lc_pan",
    head="pico_head_v2",
    channels=96,  # by this a graph is recognized as a PicoDet
    head_convs=1,
    classes=("cat", "dog"),
    input_size=(64, 32),
    reg_max=1,
)
TINY = replace(WIDE, name="tiny", channels=8)
SETTINGS = b"""\
Preprocess:
- {type: Resize, target_size: [320, 416], interp: 2, keep_ratio: false}
- {type: NormalizeImage, mean: [0.4, 0.5, 0.6], std: [0.1, 0.2, 0.3], is_scale: true}
- {type: Permute}
label_list: [cat, dog]
"""

PADDLEX_SETTINGS = b"""\
Global: {model_name: PP-DocLayout-S}
Hpi: {paddle_infer: &shapes {image: [[1, 3, 320, 416]]}, tensorrt: *shapes}
Preprocess:
- {type: Resize, target_size: 320, interp: 2, keep_ratio: true}
- {type: Pad, size: [320, 320], fill_value: [1, 2, 3]}
- {type: NormalizeImage, norm_type: none, is_scale: false}
- {type: Permute}
- {type: PadStride, stride: 32}
NMS: {name: MultiClassNMS, score_threshold: 0.3, nms_threshold: 0.5, nms_top_k: 9, keep_top_k: 3}
label_list: [cat, dog]
"""


def read_any(path: Path) -> object:
    return convert_model(path, ConvertOptions())


@dataclass(frozen=True)
class Form:
    """A valid file, or several in a folder."""

    files: Mapping[str, bytes]
    opened: str  # which of them is read; "" for their folder
    reader: Callable[[Path], object] = read_any

    def write(self, folder: Path, **changed: bytes) -> Path:
        """Write it and return its path. changed: other contents by file name, `_` for dots."""
        for name, content in self.files.items():
            (folder / name).write_bytes(changed.get(name.replace(".", "_"), content))
        return folder / self.opened if self.opened else folder


@dataclass(frozen=True)
class Outcome:
    """The outcome of reading a file."""

    error: PicoDetError | None
    calls: int  # function calls during reading
    megabytes: float


def check(path: Path, reader: Callable[[Path], object] = read_any) -> Outcome:
    """Read the file, and assert the promise."""
    folder = path if path.is_dir() else path.parent
    before = sorted(folder.iterdir())
    memory, error = peak(), None
    with count_calls() as work:
        try:
            reader(path)
        except PicoDetError as caught:
            error = caught
    assert error is None or (str(error) and str(error).isprintable())
    outcome = Outcome(error, work.calls, peak() - memory)
    assert outcome.megabytes < MEGABYTES, f"{path}: {outcome}"
    assert sorted(folder.iterdir()) == before
    return outcome


@cache
def warm_up() -> None:
    """Do once what a process does only once: build all variants."""
    with TemporaryDirectory() as folder, suppress(PicoDetError):
        read_any(
            Form({"x.pdparams": pickle.dumps({"w": np.ones(1)})}, "x.pdparams").write(Path(folder))
        )


def peak() -> float:
    """Peak memory of this process in MB; 0 where the system does not count it."""
    return (peak_memory() or 0) / 1e6


@cache
def forms() -> Mapping[str, Form]:
    """One file of each form."""
    meta = make_meta(TINY, "detector", "tiny.pdparams", "ab" * 32)
    weights = {name: tensor.numpy() for name, tensor in built(TINY).state_dict().items()}
    large = {name: array for name, array in seeded.shapes(S).items() if np.prod(array) < 100}
    few = seeded.checkpoint(dict(list(large.items())[::30]))
    pdparams = pickle.dumps(few | {"StructuredToParameterName@@": dict.fromkeys(few, "w")}, 4)
    folder = {"model.pdiparams": paddle_files.pdiparams(paddle_files.WEIGHTS)}
    names = paddle_files.info({name: f"backbone.{name}" for name in paddle_files.WEIGHTS})
    old = {"model.pdmodel": paddle_files.small_pdmodel(), "model.pdiparams.info": names}
    few_torch = {f"module.{name}": torch.from_numpy(array) for name, array in few.items()}
    return {
        "pdparams": Form({"x.pdparams": pdparams}, "x.pdparams"),
        "pdema": Form({"x.pdparams": pdparams, "x.pdema": pdparams}, ""),
        "pdmodel": Form({**folder, **old, "infer_cfg.yml": SETTINGS}, ""),
        "paddlex": Form(
            {
                "inference.pdmodel": paddle_files.quantized_pdmodel(),
                "inference.pdiparams": paddle_files.pdiparams(paddle_files.QUANTIZED),
                "inference.yml": PADDLEX_SETTINGS,
            },
            "",
        ),
        "pir": Form({**folder, "model.json": paddle_files.small_pir()}, ""),
        "onnx": Form({"x.onnx": small_onnx()}, "x.onnx"),
        "pth": Form({"x.pth": torch_file({"model": few_torch, "epoch": 3})}, "x.pth"),
        "old pth": Form({"x.pth": torch_file({"state_dict": few_torch}, zipped=False)}, "x.pth"),
        "own pth": Form({"x.pth": _saved("x.pth", weights, meta)["x.pth"]}, "x.pth"),
        "safetensors": Form(_saved("x.safetensors", weights, meta), "x.safetensors"),
        "few safetensors": Form({"x.safetensors": safetensors(few)}, "x.safetensors"),
        "folder": Form(_saved("x", weights, meta), ""),
        "protocol 0": Form({"x.pdparams": pickle.dumps(few, 0)}, "x.pdparams"),
        "protocol 5": Form({"x.pdparams": pickle.dumps(few, 5)}, "x.pdparams"),
        "parts": Form(_in_parts(few), "x.safetensors.index.json"),
        **{name: Form({file: make()}, file, reader) for name, (file, make, reader) in MORE.items()},
        "class names": Form({"x.txt": "cat\nDachs, süß\n".encode()}, "x.txt", read_class_names),
    }


def built(config: ModelConfig) -> PicoDet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PicoDet(config).eval()


def _saved(
    name: str, weights: Mapping[str, np.ndarray], meta: Mapping[str, Any]
) -> dict[str, bytes]:
    """The files that checkpoint.save writes: one, or a directory's."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        checkpoint.save(path, weights, meta)
        files = path.iterdir() if path.is_dir() else [path]
        return {file.name: file.read_bytes() for file in files}


def torch_file(content: object, zipped: bool = True) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def repacked(archive: bytes, program: bytes) -> bytes:
    """A .pth with another pickle in it, and the right checksum."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, program if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


def pickle_in(archive: bytes) -> bytes:
    """The pickle of a .pth."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith("data.pkl"))
        return opened.read(name)


def safetensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _in_parts(arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Two files and their index."""
    parts = {f"{i}.safetensors": list(arrays)[i::2] for i in range(2)}
    files = {part: safetensors({n: arrays[n] for n in names}) for part, names in parts.items()}
    places = {name: part for part, names in parts.items() for name in names}
    return {"x.safetensors.index.json": json.dumps({"weight_map": places}).encode(), **files}


def meta_in(content: bytes, key: str = "picodet") -> bytes:
    """The meta of picodet's .safetensors."""
    return _header(content)["__metadata__"][key].encode()


def relabelled(content: bytes, meta: bytes, key: str = "picodet") -> bytes:
    """picodet's .safetensors with another meta, and without a checksum that would show it."""
    header = _header(content)
    del header["__metadata__"]["picodet_crc32"]
    header["__metadata__"][key] = meta.decode(errors="replace")
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % 8)
    (size,) = struct.unpack("<Q", content[:8])
    return struct.pack("<Q", len(written)) + written + content[8 + size :]


def all_of_it(content: bytes) -> bytes:
    """The index of a file that consists of it alone."""
    return content


def as_it_is(_: bytes, index: bytes) -> bytes:
    """A file of an index alone."""
    return index


def index_in(content: bytes) -> bytes:
    """The index of a recording."""
    return meta_in(content, "picodet_recording")


def reindexed(content: bytes, index: bytes) -> bytes:
    """A recording with another index."""
    return relabelled(content, index, "picodet_recording")


def position_in(content: bytes) -> bytes:
    """The progress in a training checkpoint."""
    return meta_in(content, "picodet_training")


def repositioned(content: bytes, position: bytes) -> bytes:
    """A training checkpoint with another progress."""
    return relabelled(content, position, "picodet_training")


def _header(content: bytes) -> dict[str, Any]:
    (size,) = struct.unpack("<Q", content[:8])
    return dict(json.loads(content[8 : 8 + size]))


def small_onnx() -> bytes:
    """Convolution, batch norm, hard-swish in four operators, squeeze, and a head of one level."""
    from onnx import TensorProto, helper, numpy_helper

    numbers = {
        "w": np.ones((4, 3, 1, 1), np.float32),
        **{name: np.ones(4, np.float32) for name in ("scale", "b", "mean", "var")},
        **{str(number): np.array([number], np.float32) for number in (3, 0, 6)},
        "sizes": np.array([2, 2], np.int64),
        "shape": np.array([1, 2, -1], np.int64),
    }
    nodes = [
        helper.make_node("Constant", [], ["six"], value=numpy_helper.from_array(numbers["6"])),
        helper.make_node("Conv", ["x", "w"], ["c"], strides=[2, 2], pads=[0, 0, 0, 0]),
        helper.make_node("BatchNormalization", ["c", "scale", "b", "mean", "var"], ["n"]),
        helper.make_node("Add", ["n", "3"], ["a"]),
        helper.make_node("Clip", ["a", "0", "6"], ["k"]),
        helper.make_node("Mul", ["n", "k"], ["m"]),
        helper.make_node("Div", ["m", "six"], ["h"]),
        helper.make_node("Split", ["h", "sizes"], ["s", "sides"], axis=1),
        helper.make_node("Sigmoid", ["s"], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["r"]),
    ]
    floats = {"x": [1, 3, 32, 32], "r": [1, 2, 256], "sides": [1, 2, 16, 16]}
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in floats.items()]
    weights = [numpy_helper.from_array(array, name) for name, array in numbers.items()]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], weights))
    helper.set_model_props(model, {"character": "cat\ndog"})
    return model.SerializeToString()


@cache
def own_onnx() -> bytes:
    """A valid export of picodet."""
    from picodet.exporter.model_proto import build_model
    from picodet.exporter.options import ExportOptions as Export

    meta = make_meta(WIDE, "detector", "wide.pdparams", "ab" * 32)
    return build_model(built(WIDE), Export(level="boxes"), meta).SerializeToString()
