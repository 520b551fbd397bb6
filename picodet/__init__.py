"""PP-PicoDet detectors from Paddle in PyTorch, proven to have arrived unchanged.

model = picodet.load("picodet_s_416_coco")  # a torch.nn.Module
detections = picodet.detect(model, "street.jpg")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from picodet.version import __version__

__all__ = [
    "Detections",
    "LayoutOptions",
    "__version__",
    "align",
    "convert",
    "detect",
    "evaluate",
    "export",
    "load",
    "train",
]

_MODULE = dict.fromkeys(("align", "convert", "evaluate", "export", "load", "train"), "picodet.api")
_MODULE |= {"Detections": "picodet.ops.postprocess", "detect": "picodet.inference.predict"}
_MODULE |= {"LayoutOptions": "picodet.inference.layout_options"}

if TYPE_CHECKING:
    from picodet.api import align, convert, evaluate, export, load, train
    from picodet.inference.layout_options import LayoutOptions
    from picodet.inference.predict import detect
    from picodet.ops.postprocess import Detections


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import torch only when something is asked for that needs it: `--help` answers at once."""
    if name not in _MODULE:
        raise AttributeError(f"module 'picodet' has no attribute {name!r}")
    return getattr(import_module(_MODULE[name]), name)
