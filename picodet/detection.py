"""A picture and a model in torch -> detections: what `picodet.detect` does."""

from pathlib import Path

import numpy as np

from picodet.data.preprocess import read_image
from picodet.inference.detecting import detect_with
from picodet.inference.torch_network import TorchNetwork
from picodet.models.picodet import PicoDet
from picodet.postprocess import Detections


def detect(
    model: PicoDet, image: str | Path | np.ndarray, interp: int | None = None, score: float = 0.025
) -> Detections:
    """Find the objects in one picture: a file, or an array [H, W, 3] uint8 in BGR.

    interp is OpenCV's number of the resize (0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos); None
    is the model's own, which is 2 in all of ppdet's configs. Scores above `score` count; 0.025 is
    ppdet's. Raises ImageError for a picture that cannot be used, PicoDetError for an unknown
    interp or score and for a model that is in training mode or whose output is not finite.
    """
    network = TorchNetwork(model)
    if not isinstance(image, np.ndarray):
        image = read_image(Path(image))
    return detect_with(network, image, interp, score)
