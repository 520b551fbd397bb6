"""One picture and a network -> detections."""

from dataclasses import replace

import numpy as np

from picodet.config import Kernels
from picodet.data.preprocess import preprocess
from picodet.errors import PicoDetError
from picodet.inference.backend import Fed, Network
from picodet.ops.postprocess import Candidates, Detections, select


def detect_with(
    network: Network,
    image: np.ndarray,
    interp: int | None = None,
    score: float = 0.025,
    resize: Kernels | None = None,
) -> Detections:
    """Find the objects in image [H, W, 3] uint8 BGR; interp and resize None are the model's own.

    Raises PicoDetError for an unknown interp or score and where the output is not finite.
    """
    if not 0 <= score <= 1:
        raise PicoDetError(f"score {score}: a threshold from 0 to 1 is expected")
    preprocessing = network.spec.preprocessing
    if interp is not None:
        preprocessing = replace(preprocessing, interp=interp)
    if resize is not None:
        preprocessing = replace(preprocessing, resize=resize)
    array, scale_factor = preprocess(image, network.spec.input_size, preprocessing)
    (output,) = network(Fed(array[None], scale_factor[None]))
    if isinstance(output, Candidates):
        return select(output, scale_factor, score)
    return output.above(score)
