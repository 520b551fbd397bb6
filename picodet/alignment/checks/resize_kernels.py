"""Two resizes of one picture by kernels that are not the same: by how much they may part.

What every kernel rounds is the same number, and each is off by a little before it rounds. So a grey
level of the reference may be as far from the number itself, which OpenCV computes in float64, as
our own kernels are on this very picture: the native one, the one without IPP, and the number
rounded. Nor may more values part than theirs do. A value that is another's for a reason, of another
interpolation, of floats cut off, of a shift, is soon a whole level away from the number.

MARGIN and SHARE_MARGIN are for kernels that this machine does not have. Measured over 120 pictures
of COCO in four sizes with IPP's AVX2 and SSE4.2, each as if it were not here: AVX2's and SSE4.2's
are up to 0.005 levels beyond the half that rounding takes, the one without IPP up to 0.25; and in
0.0003 of the values one of IPP's parts from the one without where the rounded number does not.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from picodet.config import ResizeKernels
from picodet.data import preprocess
from picodet.data.resize_kernels import INTERP_NAMES, fingerprint, use_kernels

LEVEL_MARGIN = 0.02  # grey levels
SHARE_MARGIN = 0.001  # of the values


@dataclass(frozen=True)
class OurResizes:
    """What our kernels make of one picture with one interp, or some values of it."""

    kernels: dict[ResizeKernels, np.ndarray]  # uint8
    exact: np.ndarray  # float64, 0 to 255: what is rounded

    @property
    def with_exact(self) -> tuple[np.ndarray, ...]:
        """The number rounded is a kernel too: it is nearly that of IPP where there is no IPP."""
        return *self.kernels.values(), np.rint(self.exact)

    @property
    def max_error(self) -> float:
        """How far one of them is from what is rounded, grey levels."""
        return max(float(np.abs(kernel - self.exact).max()) for kernel in self.with_exact)

    @property
    def differing_share(self) -> float:
        """Of the values in which one of them is not the one without IPP."""
        return max(float((kernel != self.kernels["portable"]).mean()) for kernel in self.with_exact)

    def num_differing(self, reference: np.ndarray) -> int:
        """In how many values the nearest of our kernels is another."""
        return min(int((reference != kernel).sum()) for kernel in self.with_exact)


def resize_all(
    image: np.ndarray, size: tuple[int, int], interp: int, positions: np.ndarray | None
) -> OurResizes:
    """picture [H, W, 3] uint8; at: flat positions of the values that are wanted, None for all."""

    def made(kernels: ResizeKernels, source: np.ndarray) -> np.ndarray:
        with use_kernels(kernels):
            array = preprocess.resize(source, size, interp)
        return array if positions is None else array.ravel()[positions]

    exact = made("portable", image.astype(np.float64))
    bytewise = {kernels: made(kernels, image) for kernels in get_args(ResizeKernels)}
    return OurResizes(bytewise, np.clip(exact, 0, 255))


def same_kernels(recorded: dict[str, str], kernels: ResizeKernels, interp: int) -> bool:
    """Whether what was recorded was resized by the same; what is not known is not the same."""
    name = INTERP_NAMES[interp]
    return recorded.get(name) == fingerprint(kernels)[name]


def explain_mismatch(
    image: np.ndarray,
    size: tuple[int, int],
    interp: int,
    reference: np.ndarray,
    positions: np.ndarray | None = None,
) -> str | None:
    """None where another kernel of the same interp may have made `reference`, else what is wrong.

    picture [H, W, 3] uint8; reference: grey levels of any type, in the same order of colours and of
    a size of its own, or, with `at`, those at these flat positions, which tell less.
    """
    ours = resize_all(image, size, interp, positions)
    if any(k.dtype != np.uint8 or k.shape != reference.shape for k in ours.kernels.values()):
        return "ours are no bytes of that size"
    if not ((reference == np.rint(reference)) & (reference >= 0) & (reference <= 255)).all():
        return "the reference's are no bytes"
    num_differing = ours.num_differing(reference)
    for other, name_of_interp in enumerate(INTERP_NAMES):
        if (
            other != interp
            and resize_all(image, size, other, positions).num_differing(reference) < num_differing
        ):
            return f"interp {interp}; the reference's is nearer to {other} ({name_of_interp})"
    error, limit = float(np.abs(reference - ours.exact).max()), ours.max_error
    if not error <= limit + LEVEL_MARGIN:
        return (
            f"no other kernel: {error:.2f} grey levels from the number that is rounded, where our "
            f"kernels are {limit:.2f} at most"
        )
    differing_share, limit = (
        float((reference != ours.kernels["portable"]).mean()),
        ours.differing_share,
    )
    if positions is None and not differing_share <= limit + SHARE_MARGIN:
        return (
            "no other kernel: not what it is without IPP in "
            f"{format_percent(differing_share)} of the values, where "
            f"our kernels are not in {format_percent(limit)} at most"
        )
    return None


def describe_difference(ours: np.ndarray, reference: np.ndarray) -> str:
    """How far two kernels were found to part."""
    levels = int(np.abs(ours.astype(np.float64) - reference).max())
    differing_share = float((ours != reference).mean())
    unit = "grey level" if levels == 1 else "grey levels"
    share = format_percent(differing_share)
    return f"another resize kernel: at most {levels} {unit}, in {share} of the values"


def format_percent(share: float) -> str:
    """With two digits that count."""
    return f"{100 * share:.2g} %"
