"""A picture and a model -> detections: preprocess, forward, decode, NMS."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from picodet.data.preprocess import preprocess, read_image
from picodet.errors import PicoDetError
from picodet.models.picodet import PicoDet
from picodet.postprocess import Detections, decode, select


def detect(
    model: PicoDet, image: str | Path | np.ndarray, interp: int | None = None, score: float = 0.025
) -> Detections:
    """Find the objects in one picture: a file, or an array [H, W, 3] uint8 in BGR.

    interp is OpenCV's number of the resize (0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos); None
    is the model's own, which is 2 in all of ppdet's configs. Scores above `score` count; 0.025 is
    ppdet's. Raises ImageError for a picture that cannot be used, PicoDetError for an unknown
    interp or score and for a model that is in training mode or whose output is not finite.
    """
    if model.training:
        raise PicoDetError("the model is in training mode; call model.eval() first")
    if not 0 <= score <= 1:
        raise PicoDetError(f"score {score}: a threshold from 0 to 1 is expected")
    if not isinstance(image, np.ndarray):
        image = read_image(Path(image))
    preprocessing = model.config.preprocessing
    if interp is not None:
        preprocessing = replace(preprocessing, interp=interp)
    array, scale_factor = preprocess(image, model.config.input_size, preprocessing)
    weight = next(model.parameters())
    with torch.inference_mode():
        images = torch.from_numpy(array)[None].to(weight)
        boxes, scores = decode(model(images), model.head.integral)
    if not (boxes.isfinite().all() and scores.isfinite().all()):
        raise PicoDetError("the model's output is not finite: a weight is NaN, Inf or too large")
    return select(boxes[0], scores[0], scale_factor, score)
