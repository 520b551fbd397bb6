"""Detects the objects in one image."""

from dataclasses import replace
from numbers import Real
from pathlib import Path

import numpy as np

from picodet.config import ResizeKernels
from picodet.data.preprocess import preprocess, read_image
from picodet.errors import ImageError, PicoDetError
from picodet.inference.backend import Backend, ModelInputs
from picodet.inference.layout_options import LayoutOptions
from picodet.inference.torch_backend import TorchBackend
from picodet.models.picodet import PicoDet
from picodet.ops.layout import LayoutSettings
from picodet.ops.postprocess import (
    Candidates,
    Detections,
    PostprocessingOptions,
    apply_layout,
    postprocess,
)


def detect_image(
    backend: Backend,
    image: np.ndarray,
    interp: int | None = None,
    score_thr: float = 0.025,
    resize: ResizeKernels | None = None,
    layout: LayoutSettings | None = None,
) -> Detections:
    """Find the objects in image [H, W, 3] uint8 BGR; interp and resize None are the model's own.

    layout is PaddleX's post-processing of layouts, None for none. Raises PicoDetError for an
    invalid interp or score_thr, or if an output is NaN or Inf.
    """
    if not 0 <= score_thr <= 1:
        raise PicoDetError(f"score_thr {score_thr}: expected a number from 0 to 1")
    preprocessing = backend.spec.preprocessing
    if interp is not None:
        preprocessing = replace(preprocessing, interp=interp)
    if resize is not None:
        preprocessing = replace(preprocessing, resize=resize)
    array, scale_factor = preprocess(image, backend.spec.input_size, preprocessing)
    (output,) = backend(ModelInputs(array[None], scale_factor[None]))
    if isinstance(output, Candidates):
        after = PostprocessingOptions(score_thr).resolve(backend.spec.nms)
        detections = postprocess(output, scale_factor, array.shape[1:], after)
    else:
        detections = output.above(score_thr)
    if layout is None:
        return detections
    return apply_layout(detections, (image.shape[0], image.shape[1]), layout)


def detect(
    model: PicoDet,
    image: str | Path | np.ndarray,
    interp: int | None = None,
    score_thr: float = 0.025,
    resize: ResizeKernels | None = None,
    layout: LayoutOptions | None = None,
) -> Detections:
    """Find the objects in one image: a file, or an array [H, W, 3] uint8 in BGR.

    interp is OpenCV's number of the resize (0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos); None
    is the model's own, which is 2 in all of ppdet's configs. resize "portable" gives the same bits
    on every CPU, "native" is OpenCV's choice; None is the model's own. Detections have a score
    above score_thr; 0.025 is ppdet's. layout adds PaddleX's post-processing of layouts, with
    thresholds of its own. A model in bfloat16 or under autocast is decoded in float32.
    Changes neither the model nor settings of the process: threads can share a model. Raises
    ImageError for an image that cannot be used, PicoDetError for an invalid interp, resize,
    score_thr or layout and for a model of which any part is in training mode, or whose output is
    not finite.
    """
    _check(model, image, score_thr)
    backend = TorchBackend(model)
    if not isinstance(image, np.ndarray):
        image = read_image(Path(image))
    settings = None if layout is None else layout.for_model(backend.spec)
    return detect_image(backend, image, interp, score_thr, resize, settings)


def _check(model: object, image: object, score_thr: object) -> None:
    """Raise PicoDetError for arguments of wrong types, or in the wrong order."""
    compiled = getattr(model, "_orig_mod", model)  # of torch.compile
    if not isinstance(compiled, PicoDet):
        wrapped = isinstance(getattr(model, "module", None), PicoDet)
        hint = "; it is in its .module" if wrapped else ""
        raise PicoDetError(
            f"detect(model, image): model must be one that picodet.load has read, found "
            f"{_kind(model)}{hint}"
        )
    if not isinstance(image, str | Path | np.ndarray):
        raise ImageError(
            "detect(model, image): image must be a file's path, or an array [H, W, 3] uint8 in "
            f"BGR as cv2.imread reads it, found {_kind(image)}"
        )
    if not isinstance(score_thr, Real):
        raise PicoDetError(f"score_thr: found {_kind(score_thr)}; expected a number from 0 to 1")


def _kind(value: object) -> str:
    """The full name of a value's type, such as `torch.Tensor`."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
