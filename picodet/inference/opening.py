"""Any file that holds a PicoDet -> a network that can be asked."""

from dataclasses import dataclass, replace
from pathlib import Path

from picodet.errors import CheckpointError, PicoDetError
from picodet.inference.network import Network, check_size

INSTALL = {
    "onnxruntime": "pip install onnxruntime",
    "openvino": "pip install openvino onnx",
}


@dataclass(frozen=True)
class Running:
    """How a file is to be run, where there is a choice."""

    backend: str = "onnxruntime"  # of an ONNX file
    device: str = "cpu"  # torch's, of a model in torch
    size: tuple[int, int] | None = None  # height, width of the input, where a file takes any
    paddle_python: Path | None = None  # of an inference folder; None: the Python that runs this
    threads: int = 0  # of each call; 0: as many as the runtime takes by itself
    float64: bool = False  # of a model in torch: no near tie is decided by rounding

    @property
    def precision(self) -> str:
        """In words."""
        return "float64" if self.float64 else "float32"


def open_network(path: Path, running: Running) -> Network:
    """A `.pth` or `.safetensors` runs in torch, an `.onnx` in the backend, a folder in Paddle.

    Raises CheckpointError where the file is none of these, and PicoDetError where what runs it is
    missing or cannot do what is asked.
    """
    if running.float64 and (path.is_dir() or path.suffix == ".onnx"):
        raise PicoDetError(
            f"{path} computes in float32; only a .pth or .safetensors can in float64"
        )
    if path.is_dir():
        from picodet.inference.paddle_network import open_folder

        return open_folder(path, running.paddle_python, running.size)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    if path.suffix == ".onnx":
        return _open_onnx(path, running)
    return _open_torch(path, running)


def _open_onnx(path: Path, running: Running) -> Network:
    try:
        if running.backend == "openvino":
            from picodet.inference.openvino_network import OpenVinoNetwork

            return OpenVinoNetwork(path, running.size, running.threads)
        from picodet.inference.onnxruntime_network import OnnxRuntimeNetwork

        return OnnxRuntimeNetwork(path, running.size, running.threads)
    except ModuleNotFoundError as error:
        raise PicoDetError(
            f"{path} is to be run by {running.backend}, and {error.name} is not installed: "
            f"{INSTALL[running.backend]}"
        ) from error


def _open_torch(path: Path, running: Running) -> Network:
    import torch

    from picodet.inference.torch_network import TorchNetwork, on_device
    from picodet.models.checkpoint import load
    from picodet.models.folding import folded

    model = load(path)
    if running.size is not None:
        check_size(path, running.size)
        model.config = replace(model.config, input_size=running.size)
    if running.threads:
        torch.set_num_threads(running.threads)
    model = folded(model.double() if running.float64 else model)
    if not running.float64:  # which is faster, but in double four times slower
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch knows it
    return TorchNetwork(on_device(model, running.device))
