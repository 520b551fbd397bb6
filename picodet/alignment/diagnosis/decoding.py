"""Known mistakes of decoding: which one gives the boxes or scores that were computed."""

from collections.abc import Iterator

import torch
from torch import Tensor

from picodet.alignment.result import UNKNOWN_CAUSE
from picodet.config import STRIDES
from picodet.models.head import SCORE_EPSILON, AnyHeadOutput, HeadV2Output

# of the greatest value: beyond any rounding, and far below any of these mistakes
MISTAKE_RTOL = 1e-4
FORMULA_RTOL = 2e-7  # the same formula, rounded otherwise
EPSILONS = (0.0, 1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)


def explain_boxes(heads: AnyHeadOutput, boxes: Tensor) -> str:
    """The mistake that gives these boxes [1, A, 4], decoded from `heads`; else UNKNOWN_CAUSE."""
    found = (what for what, variant in _wrong_boxes(heads) if _nearly_equal(variant, boxes))
    return next(found, UNKNOWN_CAUSE)


def explain_scores(heads: AnyHeadOutput, scores: Tensor) -> str:
    """The mistake that gives these scores [1, C, A], decoded from `heads`; else UNKNOWN_CAUSE."""
    found = (
        what for what, variant, rtol in _wrong_scores(heads) if _nearly_equal(variant, scores, rtol)
    )
    return next(found, UNKNOWN_CAUSE)


def _wrong_scores(heads: AnyHeadOutput) -> Iterator[tuple[str, Tensor, float]]:
    """A mistake, the scores that it gives, and the relative tolerance to recognize them."""
    logits = torch.cat([x.flatten(2) for x in heads.logits], dim=2)
    classes = logits.sigmoid()
    if isinstance(heads, HeadV2Output):
        aligned = torch.cat([x.flatten(2) for x in heads.alignment], dim=2)
        product = classes * aligned.sigmoid()
        for epsilon in EPSILONS:
            size = f"is {epsilon:g}" if epsilon else "is missing"
            what = f"the epsilon under the root {size}; the reference's is {SCORE_EPSILON:g}"
            yield what, (product + epsilon).sqrt(), FORMULA_RTOL
        right = (product + SCORE_EPSILON).sqrt()
        yield "the square root is missing", product, MISTAKE_RTOL
        yield "the alignment is ignored", classes, MISTAKE_RTOL
        yield "the alignment is ignored, the root is taken", classes.sqrt(), MISTAKE_RTOL
        yield "the alignment has no sigmoid", (classes * aligned).sqrt(), MISTAKE_RTOL
        mean = (classes + aligned.sigmoid()) / 2
        yield (
            "the arithmetic instead of the geometric mean of both probabilities",
            mean,
            MISTAKE_RTOL,
        )
    else:
        right = classes
        yield "the square root of the scores is taken", classes.sqrt(), MISTAKE_RTOL
    yield "the sigmoid is missing", logits, MISTAKE_RTOL
    yield "softmax over the classes instead of the sigmoid", logits.softmax(dim=1), MISTAKE_RTOL
    yield "the sigmoid is taken twice", classes.sigmoid(), MISTAKE_RTOL
    yield "the classes are in reverse order", right.flip(1), MISTAKE_RTOL


def _wrong_boxes(heads: AnyHeadOutput) -> Iterator[tuple[str, Tensor]]:
    yield (
        "anchor points are at the corners of cells; the reference's are at their centers",
        _boxes(heads, offset=0.0),
    )
    yield "anchor points are half a cell too far", _boxes(heads, offset=1.0)
    yield "softmax over the four sides instead of the bins", _boxes(heads, softmax=1)
    yield "softmax over the anchor points instead of the bins", _boxes(heads, softmax=3)
    yield "the softmax over the bins is missing", _boxes(heads, softmax=None)
    yield "the bins are counted from 1; the reference's from 0", _boxes(heads, first_bin=1)
    yield (
        "channels are grouped by bin; the reference's are grouped by side",
        _boxes(heads, by_bin=True),
    )
    yield "left and top, right and bottom are exchanged", _boxes(heads, order=(1, 0, 3, 2))
    yield "left and right, top and bottom are exchanged", _boxes(heads, order=(2, 3, 0, 1))
    yield "rows and columns of the anchor points are exchanged", _boxes(heads, transposed=True)
    height, width = (side * STRIDES[0] for side in heads.logits[0].shape[2:])
    ends = torch.tensor([width, height, width, height]).to(heads.reg[0])
    yield (
        "boxes are clipped to the input; the reference's are not",
        _boxes(heads).clamp(min=0).minimum(ends),
    )
    yield "boxes are not multiplied by the stride", _boxes(heads, scaled=False)


def _boxes(
    heads: AnyHeadOutput,
    offset: float = 0.5,
    softmax: int | None = 2,
    first_bin: int = 0,
    by_bin: bool = False,
    order: tuple[int, int, int, int] = (0, 1, 2, 3),
    transposed: bool = False,
    scaled: bool = True,
) -> Tensor:
    """Boxes [1, A, 4] xyxy, level by level, by the plain formula; correct with the defaults."""
    levels = []
    for reg, stride in zip(heads.reg, STRIDES, strict=True):
        _, channels, height, width = reg.shape
        bins = channels // 4
        logits = (
            reg.reshape(1, bins, 4, -1).transpose(1, 2) if by_bin else reg.reshape(1, 4, bins, -1)
        )
        weights = logits if softmax is None else logits.softmax(dim=softmax)
        values = torch.arange(first_bin, first_bin + bins).to(reg)
        left, top, right, bottom = torch.einsum("bsna,n->sba", weights, values)[list(order)]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        if transposed:
            y, x = x, y
        x, y = x.reshape(1, -1).to(reg) + offset, y.reshape(1, -1).to(reg) + offset
        boxes = torch.stack([x - left, y - top, x + right, y + bottom], dim=2)
        levels.append(boxes * stride if scaled else boxes)
    return torch.cat(levels, dim=1)


def _nearly_equal(variant: Tensor, decoded: Tensor, rtol: float = MISTAKE_RTOL) -> bool:
    if variant.shape != decoded.shape:
        return False
    return bool((variant - decoded).abs().max() <= rtol * decoded.abs().max())
