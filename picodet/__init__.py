"""PP-PicoDet detectors from Paddle in PyTorch, proven to have arrived unchanged.

model = picodet.load("picodet_s_416_coco.pth")
found = picodet.detect(model, "street.jpg")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from picodet.version import __version__

__all__ = ["Detections", "__version__", "detect", "load"]

_HOME = {
    "Detections": "picodet.ops.postprocess",
    "detect": "picodet.inference.predict",
    "load": "picodet.models.checkpoint",
}

if TYPE_CHECKING:
    from picodet.inference.predict import detect
    from picodet.models.checkpoint import load
    from picodet.ops.postprocess import Detections


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import torch only when something is asked for that needs it: `--help` answers at once."""
    if name not in _HOME:
        raise AttributeError(f"module 'picodet' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
