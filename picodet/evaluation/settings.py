"""What an AP depends on besides the network, and what people get wrong about it."""

from dataclasses import dataclass, field, replace

import numpy as np

from picodet.config import Preprocessing, ResizeKernels
from picodet.data.preprocess import normalise, normalise_floats, resize
from picodet.data.resize_kernels import INTERPS, differ, fingerprint, name_of, using
from picodet.ops.postprocess import Postprocessing, Semantics

OTHER: dict[ResizeKernels, ResizeKernels] = {"native": "portable", "portable": "native"}


@dataclass(frozen=True)
class Feeding:
    """How a picture becomes what the network is fed."""

    interp: int  # OpenCV's number
    as_float: bool = False  # resized as float32: neither rounded nor kept within 0 .. 255
    bgr: bool = False  # colours in OpenCV's order, not in the network's
    kernels: ResizeKernels = "native"  # that resize

    @property
    def dtype(self) -> str:
        """Of what is resized."""
        return "float32" if self.as_float else "uint8"

    @property
    def resized_by(self) -> str:
        """The kernels, and the fingerprint of what they give: equal on two machines or not."""
        print_of = fingerprint(self.kernels, self.dtype)[INTERPS[self.interp]]
        return f"{name_of(self.kernels)}, {print_of}"

    def __call__(
        self, image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
    ) -> np.ndarray:
        """image [H, W, 3] uint8 BGR -> [3, *size] float32; mean and std are preprocessing's."""
        if self.bgr:
            image = np.ascontiguousarray(image[..., ::-1])
        source = image.astype(np.float32) if self.as_float else image
        with using(self.kernels):
            resized = resize(source, size, self.interp)
        return (normalise_floats if self.as_float else normalise)(resized, preprocessing)


@dataclass(frozen=True)
class Setting:
    """One column of numbers is made under one setting."""

    feeding: Feeding
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    name: str = "as asked"

    def describe(self) -> dict[str, str]:
        """In words, for reports."""
        feeding, after = self.feeding, self.postprocessing
        return {
            "resize": f"interp {feeding.interp} ({INTERPS[feeding.interp]}), {feeding.dtype}",
            "resized by": feeding.resized_by,
            "colours": "BGR" if feeding.bgr else "RGB",
            "score": f"> {after.score_threshold:g}",
            "NMS": f"IoU > {after.iou_threshold:g}",
            "post-processing": after.semantics,
        }


def mistakes(right: Setting, inside: bool) -> tuple[Setting, ...]:
    """The right setting, and each of the usual departures from it alone.

    inside: the network does its own post-processing, which then cannot be changed.
    """
    feeding, after = right.feeding, right.postprocessing
    fed = {
        f"interp {i} ({name})": replace(feeding, interp=i)
        for i, name in enumerate(INTERPS)
        if i != feeding.interp
    }
    fed["resized as float"] = replace(feeding, as_float=not feeding.as_float)
    fed["BGR for RGB"] = replace(feeding, bgr=not feeding.bgr)
    if differ(feeding.interp, feeding.dtype):
        other = OTHER[feeding.kernels]
        fed[f"{other} resize"] = replace(feeding, kernels=other)
    departures = [replace(right, name=name, feeding=other) for name, other in fed.items()]
    if not inside:
        ended = {f"score > {s:g}": replace(after, score_threshold=s) for s in (0.001, 0.05, 0.3)}
        ended |= {f"NMS IoU > {u:g}": replace(after, iou_threshold=u) for u in (0.5, 0.7)}
        rules: Semantics = "ppdet-2.4" if after.semantics == "ppdet-2.3" else "ppdet-2.3"
        ended[f"post-processing of {rules}"] = replace(after, semantics=rules)
        departures += [replace(right, name=n, postprocessing=p) for n, p in ended.items()]
    return right, *(each for each in departures if replace(each, name=right.name) != right)
