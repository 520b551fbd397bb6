"""Two resizes of one image by different OpenCV kernels: by how much they may differ.

Every kernel approximates the same exact number and rounds it. So a gray level of the reference may
be as far from that number, which OpenCV computes in float64, as this machine's kernels are on the
same image: the native one, the one without IPP, and the number rounded. Nor may more values differ
than among those. Any real difference (interpolation, truncated floats, a shift) soon moves a value
by a whole level.

LEVEL_MARGIN and SHARE_MARGIN allow for kernels that this machine lacks. Measured on 120 images of
COCO in four sizes with IPP's AVX2 and SSE4.2, each treated as missing: theirs are up to 0.005
levels beyond the half that rounding takes, the kernel without IPP up to 0.25; and in 0.0003 of the
values an IPP kernel differs from the one without where the rounded number does not.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from picodet.config import ResizeKernels
from picodet.data import preprocess
from picodet.data.resize_kernels import INTERP_NAMES, fingerprint, use_kernels

LEVEL_MARGIN = 0.02  # gray levels
SHARE_MARGIN = 0.001  # of the values


@dataclass(frozen=True)
class KernelResults:
    """One image resized by all kernels of this machine with one interp, or some values of it."""

    kernels: dict[ResizeKernels, np.ndarray]  # uint8
    exact: np.ndarray  # float64, 0 to 255: what is rounded

    @property
    def with_exact(self) -> tuple[np.ndarray, ...]:
        """The kernels, and the exact numbers rounded: nearly IPP's result where IPP is missing."""
        return *self.kernels.values(), np.rint(self.exact)

    @property
    def max_error(self) -> float:
        """The greatest distance of a kernel from the exact number, gray levels."""
        return max(float(np.abs(kernel - self.exact).max()) for kernel in self.with_exact)

    @property
    def differing_share(self) -> float:
        """The share of values in which one of them differs from the kernel without IPP."""
        return max(float((kernel != self.kernels["portable"]).mean()) for kernel in self.with_exact)

    def num_differing(self, reference: np.ndarray) -> int:
        """The number of values in which the nearest kernel differs."""
        return min(int((reference != kernel).sum()) for kernel in self.with_exact)


def resize_all(
    image: np.ndarray, size: tuple[int, int], interp: int, positions: np.ndarray | None
) -> KernelResults:
    """Resize `image` [H, W, 3] uint8. positions: flat ones of the wanted values; None for all."""

    def resized(kernels: ResizeKernels, source: np.ndarray) -> np.ndarray:
        with use_kernels(kernels):
            array = preprocess.resize(source, size, interp)
        return array if positions is None else array.ravel()[positions]

    exact = resized("portable", image.astype(np.float64))
    bytewise = {kernels: resized(kernels, image) for kernels in get_args(ResizeKernels)}
    return KernelResults(bytewise, np.clip(exact, 0, 255))


def same_kernels(recorded: dict[str, str], kernels: ResizeKernels, interp: int) -> bool:
    """Whether the recording was resized by the same kernels; unknown ones are not the same."""
    name = INTERP_NAMES[interp]
    return recorded.get(name) == fingerprint(kernels)[name]


def explain_mismatch(
    image: np.ndarray,
    size: tuple[int, int],
    interp: int,
    reference: np.ndarray,
    positions: np.ndarray | None = None,
) -> str | None:
    """Why no other kernel of the same interp can have made `reference`; None if one can.

    image [H, W, 3] uint8; reference: gray levels of any type, in the same channel order, or those
    at the flat `positions`, which show less.
    """
    results = resize_all(image, size, interp, positions)
    if any(k.dtype != np.uint8 or k.shape != reference.shape for k in results.kernels.values()):
        return "another shape or type than the reference's"
    if not ((reference == np.rint(reference)) & (reference >= 0) & (reference <= 255)).all():
        return "the reference's values are not whole numbers 0 .. 255"
    num_differing = results.num_differing(reference)
    for other, name_of_interp in enumerate(INTERP_NAMES):
        if (
            other != interp
            and resize_all(image, size, other, positions).num_differing(reference) < num_differing
        ):
            return f"interp {interp}; the reference's is nearer to {other} ({name_of_interp})"
    error, limit = float(np.abs(reference - results.exact).max()), results.max_error
    if not error <= limit + LEVEL_MARGIN:
        return (
            f"no other kernel: {error:.2f} gray levels from the exact number, where this "
            f"machine's kernels are at most {limit:.2f}"
        )
    differing_share, limit = (
        float((reference != results.kernels["portable"]).mean()),
        results.differing_share,
    )
    if positions is None and not differing_share <= limit + SHARE_MARGIN:
        return (
            f"no other kernel: {format_percent(differing_share)} of the values differ from the "
            f"kernel without IPP, where this machine's kernels differ in at most "
            f"{format_percent(limit)}"
        )
    return None


def describe_difference(pixels: np.ndarray, reference: np.ndarray) -> str:
    """The difference between the outputs of two kernels, as text."""
    levels = int(np.abs(pixels.astype(np.float64) - reference).max())
    differing_share = float((pixels != reference).mean())
    unit = "gray level" if levels == 1 else "gray levels"
    share = format_percent(differing_share)
    return f"another resize kernel: at most {levels} {unit}, in {share} of the values"


def format_percent(share: float) -> str:
    """A share in percent with two significant digits."""
    return f"{100 * share:.2g} %"
