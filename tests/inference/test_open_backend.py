import builtins
import subprocess
import sys
from pathlib import Path

import color_network
import numpy as np
import pytest
import torch
from tracing import SMALL

from picodet.errors import CheckpointError, PicoDetError
from picodet.formats.meta import make_meta
from picodet.inference.backend import ModelInputs
from picodet.inference.onnxruntime_backend import OnnxRuntimeBackend
from picodet.inference.open_backend import RuntimeOptions, open_backend
from picodet.inference.openvino_backend import OpenVinoBackend
from picodet.inference.torch_backend import TorchBackend
from picodet.models.checkpoint import save
from picodet.models.picodet import PicoDet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An ONNX file, and a model in both of picodet's formats."""
    folder = tmp_path_factory.mktemp("files")
    color_network.write_color_network(folder / "x.onnx", color_network.meta())
    weights = {name: value.numpy() for name, value in PicoDet(SMALL).state_dict().items()}
    for suffix in (".pth", ".safetensors"):
        save(folder / f"x{suffix}", weights, make_meta(SMALL, "detector", "x", "0" * 64))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "backend", "kind"),
    [
        ("x.onnx", "onnxruntime", OnnxRuntimeBackend),
        ("x.onnx", "openvino", OpenVinoBackend),
        ("x.pth", "onnxruntime", TorchBackend),
        ("x.safetensors", "openvino", TorchBackend),
    ],
)
def test_the_backend_follows_from_the_file_and_the_option(folder, file, backend, kind):
    network = open_backend(folder / file, RuntimeOptions(backend))
    assert type(network) is kind
    network.close()


def test_a_model_in_torch_takes_the_requested_size(folder):
    network = open_backend(folder / "x.pth", RuntimeOptions(size=(64, 96)))
    assert network.spec.input_size == (64, 96)
    inputs = ModelInputs(np.zeros((1, 3, 64, 96), np.float32), np.ones((1, 2), np.float32))
    assert network(inputs)[0].boxes.shape == (8 * 12 + 4 * 6 + 2 * 3 + 1 * 2, 4)


def test_threads_of_torch(folder):
    before = torch.get_num_threads()
    try:
        open_backend(folder / "x.pth", RuntimeOptions(threads=1))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["absent.onnx", "absent.pth", "absent"])
def test_a_missing_file_is_an_error(folder, name):
    with pytest.raises(CheckpointError, match=f"{name}: there is no such file"):
        open_backend(folder / name, RuntimeOptions())


def test_files_without_a_model_are_errors(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds nothing; expected a \.pdparams"):
        open_backend(tmp_path, RuntimeOptions())
    (tmp_path / "x.pdparams").write_bytes(b"")
    for path in (tmp_path / "x.pdparams", tmp_path):  # a training's folder
        with pytest.raises(CheckpointError, match=r"x\.pdparams: "):
            open_backend(path, RuntimeOptions())
    (tmp_path / "x.pdiparams").write_bytes(b"")
    for path in (tmp_path / "x.pdiparams", tmp_path):  # of a program that is missing
        with pytest.raises(CheckpointError, match=r"found no program; expected one program, "):
            open_backend(path, RuntimeOptions())


@pytest.mark.parametrize(
    ("file", "message"), [("x.onnx", "takes 64x64 only"), ("x.pth", "multiples of 32")]
)
def test_an_unsupported_size_is_refused(folder, file, message):
    with pytest.raises(CheckpointError, match=f"{file}: .*{message}"):
        open_backend(folder / file, RuntimeOptions(size=(65, 64)))


@pytest.mark.parametrize(
    ("backend", "missing", "advice"),
    [
        ("onnxruntime", "onnxruntime", "pip install onnxruntime"),
        ("openvino", "openvino", "pip install openvino"),
        ("openvino", "onnx", "pip install onnx"),
    ],
)
def test_a_runtime_that_is_not_installed(folder, monkeypatch, backend, missing, advice):
    usual = builtins.__import__

    def without(name, *rest, **more):
        if name.split(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return usual(name, *rest, **more)

    monkeypatch.delitem(sys.modules, f"picodet.inference.{backend}_backend")
    monkeypatch.delitem(sys.modules, "picodet.system.ort", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PicoDetError, match=f"{missing} is not installed: {advice}$"):
        open_backend(folder / "x.onnx", RuntimeOptions(backend))


def test_an_onnx_needs_no_torch(folder):
    """Importing torch would cost seconds and 200 MB."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from picodet.inference.open_backend import RuntimeOptions, open_backend\n"
        "from picodet.evaluation import evaluator\n"
        "from picodet.evaluation.report import build\n"
        "for backend in ('onnxruntime', 'openvino'):\n"
        f"    open_backend(Path({str(folder / 'x.onnx')!r}), RuntimeOptions(backend))\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0


@pytest.mark.slow
def test_float64_needs_torch(folder):
    """In float64 rounding decides almost nothing."""
    small = (32, 32)
    network = open_backend(folder / "x.pth", RuntimeOptions(float64=True, size=small))
    inputs = ModelInputs(np.ones((1, 3, *small), np.float32), np.ones((1, 2), np.float32))
    (found,) = network(inputs)
    assert found.boxes.dtype == found.scores.dtype == np.float64
    (single,) = open_backend(folder / "x.pth", RuntimeOptions(size=small))(inputs)
    assert 0 < np.abs(single.scores - found.scores).max() < 1e-5
    with pytest.raises(PicoDetError, match=r"x\.onnx computes in float32; float64 is supported"):
        open_backend(folder / "x.onnx", RuntimeOptions(float64=True))
