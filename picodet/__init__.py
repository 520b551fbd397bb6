"""PP-PicoDet detectors from Paddle in PyTorch, proven to have arrived unchanged.

    model = picodet.load("picodet_s_416_coco.pth")
    found = picodet.detect(model, "street.jpg")
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Detections", "detect", "load"]

if TYPE_CHECKING:
    from picodet.detection import detect
    from picodet.models.checkpoint import load
    from picodet.postprocess import Detections


def __getattr__(name: str) -> Any:
    """Import torch only when something is asked for that needs it: `--help` answers at once."""
    if name == "Detections":
        from picodet.postprocess import Detections as value
    elif name == "detect":
        from picodet.detection import detect as value
    elif name == "load":
        from picodet.models.checkpoint import load as value
    else:
        raise AttributeError(f"module 'picodet' has no attribute {name!r}")
    return value
