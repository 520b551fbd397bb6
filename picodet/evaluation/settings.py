"""The settings that an AP depends on besides the network, and the usual mistakes in them."""

from dataclasses import dataclass, field, replace

import numpy as np

from picodet.config import Preprocessing, ResizeKernels
from picodet.data.preprocess import normalize, normalize_float, resize_and_pad
from picodet.data.resize_kernels import (
    INTERP_NAMES,
    describe_kernels,
    fingerprint,
    kernels_differ,
    use_kernels,
)
from picodet.ops.postprocess import Postprocessing, Semantics

OTHER_KERNELS: dict[ResizeKernels, ResizeKernels] = {"native": "portable", "portable": "native"}


@dataclass(frozen=True)
class InputSettings:
    """The settings of preprocessing."""

    interp: int  # OpenCV's number
    as_float: bool = False  # resized as float32: neither rounded nor kept within 0 .. 255
    bgr: bool = False  # channels in OpenCV's order, not in the network's
    kernels: ResizeKernels = "native"  # that resize images

    @property
    def dtype(self) -> str:
        """Dtype of the array that is resized."""
        return "float32" if self.as_float else "uint8"

    @property
    def resized_by(self) -> str:
        """The kernels and a fingerprint of their output, for comparing two machines."""
        digest = fingerprint(self.kernels, self.dtype)[INTERP_NAMES[self.interp]]
        return f"{describe_kernels(self.kernels)}, {digest}"

    def __call__(
        self, image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
    ) -> np.ndarray:
        """image [H, W, 3] uint8 BGR -> [3, *size] float32; mean and std are preprocessing's."""
        if self.bgr:
            image = np.ascontiguousarray(image[..., ::-1])
        source = image.astype(np.float32) if self.as_float else image
        with use_kernels(self.kernels):
            resized = resize_and_pad(source, size, replace(preprocessing, interp=self.interp))
        return (normalize_float if self.as_float else normalize)(resized, preprocessing)


@dataclass(frozen=True)
class EvalSettings:
    """The settings of one run: preprocessing and post-processing."""

    input_settings: InputSettings
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    name: str = "baseline"

    def describe(self) -> dict[str, str]:
        """The settings as text, for reports."""
        input_settings, postprocessing = self.input_settings, self.postprocessing
        interp = input_settings.interp
        return {
            "resize": f"interp {interp} ({INTERP_NAMES[interp]}), {input_settings.dtype}",
            "resized by": input_settings.resized_by,
            "colors": "BGR" if input_settings.bgr else "RGB",
            "score": f"> {postprocessing.score_threshold:g}",
            "NMS": f"IoU > {postprocessing.iou_threshold:g}",
            "post-processing": postprocessing.semantics,
        } | ({"paddlex-layout": postprocessing.layout.describe()} if postprocessing.layout else {})


def what_if_settings(base: EvalSettings, has_nms: bool) -> tuple[EvalSettings, ...]:
    """The base setting, and each of the usual mistakes alone.

    has_nms: the network does its own post-processing, which then cannot be changed.
    """
    input_settings, postprocessing = base.input_settings, base.postprocessing
    input_variants = {
        f"interp {i} ({name})": replace(input_settings, interp=i)
        for i, name in enumerate(INTERP_NAMES)
        if i != input_settings.interp
    }
    input_variants["resized as float"] = replace(
        input_settings, as_float=not input_settings.as_float
    )
    input_variants["BGR for RGB"] = replace(input_settings, bgr=not input_settings.bgr)
    if kernels_differ(input_settings.interp, input_settings.dtype):
        other = OTHER_KERNELS[input_settings.kernels]
        input_variants[f"{other} resize"] = replace(input_settings, kernels=other)
    variants = [
        replace(base, name=name, input_settings=other) for name, other in input_variants.items()
    ]
    if not has_nms:
        postprocessing_variants = {
            f"score > {s:g}": replace(postprocessing, score_threshold=s) for s in (0.001, 0.05, 0.3)
        }
        postprocessing_variants |= {
            f"NMS IoU > {u:g}": replace(postprocessing, iou_threshold=u) for u in (0.5, 0.7)
        }
        semantics: Semantics = (
            "ppdet-2.4" if postprocessing.semantics == "ppdet-2.3" else "ppdet-2.3"
        )
        postprocessing_variants[f"post-processing of {semantics}"] = replace(
            postprocessing, semantics=semantics
        )
        variants += [
            replace(base, name=n, postprocessing=p) for n, p in postprocessing_variants.items()
        ]
    if postprocessing.layout is not None:
        without = replace(postprocessing, layout=None)
        variants.append(replace(base, name="without paddlex-layout", postprocessing=without))
    return base, *(each for each in variants if replace(each, name=base.name) != base)
