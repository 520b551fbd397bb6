import json
import pickle
import re
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from memory import peak
from safetensors.numpy import save_file
from tracing import SMALL

import picodet
from picodet.config import Preprocessing
from picodet.errors import CheckpointError, OutputError
from picodet.formats.meta import make_meta
from picodet.models.checkpoint import load, load_backbone, save
from picodet.models.picodet import BACKBONES, PicoDet
from picodet.zoo.architectures import MOBILENET, RESNET, SHUFFLENET, XS_LCNET, S

CONFIG = replace(SMALL, preprocessing=Preprocessing((0.1, 0.2, 0.3), (1, 2, 3), interp=1))


IS_DETECTOR = {"kind": "detector", "architecture": "picodet", "picodet_version": "0"}
ONE = {"a": torch.ones(1)}


def weights_of(model):
    return {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def model():
    return PicoDet(CONFIG).eval()


@pytest.fixture
def meta():
    return make_meta(CONFIG, "detector", "x.pdparams", "ab" * 32)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
def test_save_and_load(tmp_path, model, meta, suffix):
    path = tmp_path / f"model{suffix}"
    save(path, weights_of(model), meta)
    random = torch.get_rng_state()
    loaded = load(path)
    assert torch.equal(torch.get_rng_state(), random)
    assert loaded.config == CONFIG
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    assert list(tmp_path.iterdir()) == [path]


def test_pth_is_a_dictionary_of_state_dict_and_meta(tmp_path, model, meta):
    save(tmp_path / "model.pth", weights_of(model), meta)
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    assert set(content) == {"state_dict", "meta"}
    found = content["meta"]
    assert (found["source"], found["sha256"]) == ("x.pdparams", "ab" * 32)
    assert found["picodet_version"] == picodet.__version__
    assert found["classes"] == ("a", "b", "c")
    assert found["input_size"] == (128, 128)
    assert found["preprocessing"]["interp"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("variant", [S, XS_LCNET, MOBILENET, RESNET, SHUFFLENET])
def test_a_backbone_is_not_a_detector(tmp_path, variant):
    backbone = BACKBONES[type(variant.backbone)](variant.backbone)
    meta = make_meta(variant, "backbone", "x.pdparams", "ab" * 32)
    assert not {"classes", "input_size"} & set(meta)
    save(tmp_path / "b.pth", weights_of(backbone), meta)
    loaded = load_backbone(tmp_path / "b.pth")
    assert type(loaded) is type(backbone)
    for name, value in backbone.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    with pytest.raises(CheckpointError, match="a backbone of architecture picodet_backbone; exp"):
        load(tmp_path / "b.pth")


def test_other_suffixes_are_refused(tmp_path, model, meta):
    with pytest.raises(OutputError, match=r"\.pth, \.safetensors"):
        save(tmp_path / "model.bin", weights_of(model), meta)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
def test_a_full_disk_leaves_nothing(tmp_path, model, meta, suffix):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            save(tmp_path / f"model{suffix}", weights_of(model), meta)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
def test_a_thousand_zero_bytes_are_an_error(tmp_path, model, meta, suffix):
    path = tmp_path / f"model{suffix}"
    save(path, weights_of(model), meta)
    file = path / "model.safetensors" if path.is_dir() else path
    content = file.read_bytes()
    file.write_bytes(content[:-60_000] + bytes(1000) + content[-59_000:])
    with pytest.raises(CheckpointError, match=r"checksum of .* is wrong.*copy or download it ag"):
        load(path)


class Owned:
    def __reduce__(self):
        return print, ("owned",)


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with the bytes of an empty file; expected a .pth or a .safetensors"),
        (b"PK\x03\x04 broken", "damaged file of weights"),
        (pickle.dumps(Owned(), protocol=2), "expected a .pth or a .safetensors"),
        ({"state_dict": Owned(), "meta": {}}, "nothing of it was executed: it contains"),
        ({"state_dict": {1: torch.ones(1)}, "meta": {**IS_DETECTOR}}, "1 is a Tensor"),
        (ONE, "has no picodet meta; was it made by picodet-convert?"),
        ({"state_dict": ONE, "meta": {"kind": "detector"}}, "has no picodet meta"),
        (
            {"state_dict": ONE, "meta": IS_DETECTOR | {"architecture": "picodet_2021"}},
            "holds a detector of architecture picodet_2021; expected a detector of architecture "
            "picodet. Was it made by another version",
        ),
        ({"state_dict": ONE, "meta": {**IS_DETECTOR}}, "its meta is not picodet's: KeyError"),
    ],
)
def test_other_files_are_errors(tmp_path, capsys, content, message):
    write(tmp_path / "x.pth", content)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load(tmp_path / "x.pth")
    assert "owned" not in capsys.readouterr().out


def test_other_safetensors_are_errors(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"no")
    with pytest.raises(CheckpointError, match=r"expected a \.pth or a \.safetensors"):
        load(path)
    save_file({"a": np.ones(1)}, path)
    with pytest.raises(CheckpointError, match="has no picodet meta"):
        load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("channels", 10**9),
        ("channels", "96"),
        ("input_size", [128]),
        ("input_size", [128, 100]),
        ("neck", "fpn"),
        ("backbone", "esnet_x0_75"),
        ("backbone", {"family": "esnet", "name": "", "stages": []}),
        ("preprocessing", {"mean": [0], "std": [1], "interp": 2}),
        ("preprocessing", {"mean": [0] * 3, "std": [1, 1, 0], "interp": 2}),
        ("preprocessing", {"mean": [0] * 3, "std": [1] * 3, "interp": 9}),
    ],
)
def test_a_damaged_meta_is_an_error(tmp_path, model, meta, key, value):
    save(tmp_path / "x.safetensors", weights_of(model), json.loads(json.dumps(meta)) | {key: value})
    with pytest.raises(CheckpointError, match="its meta is not picodet's"):
        load(tmp_path / "x.safetensors")


def test_meta_and_weights_must_agree(tmp_path, model, meta):
    save(tmp_path / "x.pth", weights_of(model), meta | {"head_convs": 3})
    message = "weights and meta do not agree: head.conv_feat.levels.0.dw2.conv.weight: "
    with pytest.raises(CheckpointError, match=message + r"expected \[96, 1, 5, 5\], found none"):
        load(tmp_path / "x.pth")
    weights = weights_of(model) | {"more": np.ones(3, np.float32)}
    save(tmp_path / "x.pth", weights, meta)
    with pytest.raises(CheckpointError, match=r"more: expected none, found \[3\]"):
        load(tmp_path / "x.pth")


def test_a_meta_of_a_giant_model_takes_no_memory(tmp_path, model, meta):
    """A config whose weights would take 50 GB."""
    save(tmp_path / "x.safetensors", weights_of(model), meta | {"channels": 8192})
    before = peak()
    with pytest.raises(CheckpointError, match="weights and meta do not agree"):
        load(tmp_path / "x.safetensors")
    assert peak() - before < 100_000_000


def test_a_checkpoint_of_paddle_has_to_be_converted(tmp_path):
    (tmp_path / "x.pdparams").touch()
    with pytest.raises(CheckpointError, match="convert it first"):
        load(tmp_path / "x.pdparams")
    with pytest.raises(CheckpointError, match="there is no such file"):
        load(tmp_path / "absent.pth")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_model_is_in_float32_on_the_cpu_whatever_the_default_is(tmp_path, model, meta, dtype):
    save(tmp_path / "x.pth", weights_of(model), meta)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            loaded = load(tmp_path / "x.pth")
    finally:
        torch.set_default_dtype(usual)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
        assert loaded.state_dict()[name].dtype == tensor.dtype


@pytest.mark.parametrize("path", [None, b"x.pth", ["x.pth"], torch.ones(1), np.zeros((8, 8, 3))])
def test_a_wrong_type_of_path_is_an_error(path):
    with pytest.raises(CheckpointError, match=r"load\(path\): a file's path is expected, found a"):
        load(path)


def test_exchanged_arguments_are_an_error(model):
    with pytest.raises(CheckpointError, match="found a PicoDet"):
        load(model)
