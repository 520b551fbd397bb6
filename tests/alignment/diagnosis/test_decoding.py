"""Mistakes in a second implementation of decoding, box by box."""

import math

import pytest
import torch

from picodet.alignment.diagnosis.decoding import explain_boxes, explain_scores
from picodet.alignment.result import UNKNOWN_CAUSE
from picodet.config import STRIDES
from picodet.models.head import HeadOutput, Integral
from picodet.ops.decode import decode

CLASSES, BINS = 3, 8
GRIDS = (8, 12), (4, 6), (2, 3), (1, 2)


@pytest.fixture(scope="module")
def heads():
    torch.manual_seed(0)
    return HeadOutput(
        tuple(torch.randn(1, CLASSES, h, w) * 3 for h, w in GRIDS),
        tuple(torch.randn(1, 4 * BINS, h, w) * 3 for h, w in GRIDS),
    )


def boxes_of(heads, center=0.5, first=0, sides="ltrb", stride=True, transposed=False, by_bin=False):
    """Boxes [1, A, 4], one anchor point at a time."""
    found = []
    for maps, step in zip(heads.reg, STRIDES, strict=True):
        for y in range(maps.shape[2]):
            for x in range(maps.shape[3]):
                logits = maps[0, :, y, x]
                bins = logits.view(BINS, 4).T if by_bin else logits.view(4, BINS)
                means = bins.softmax(1) @ torch.arange(first, first + BINS).float()
                far = dict(zip("ltrb", means[[("ltrb").index(s) for s in sides]], strict=True))
                u, v = (y, x) if transposed else (x, y)
                box = [u + center - far["l"], v + center - far["t"]]
                box += [u + center + far["r"], v + center + far["b"]]
                found.append([side * (step if stride else 1) for side in box])
    return torch.tensor(found)[None]


def test_the_formula_above_is_the_decoding(heads):
    boxes, _ = decode(heads, Integral(BINS - 1))
    assert (boxes_of(heads) - boxes).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        ({"center": 0.0}, "anchor points are at the corners of cells"),
        ({"center": 1.0}, "anchor points are half a cell too far"),
        ({"first": 1}, "the bins are counted from 1"),
        ({"sides": "tlbr"}, "left and top, right and bottom are exchanged"),
        ({"sides": "rblt"}, "left and right, top and bottom are exchanged"),
        ({"stride": False}, "boxes are not multiplied by the stride"),
        ({"transposed": True}, "rows and columns of the anchor points are exchanged"),
        ({"by_bin": True}, "channels are grouped by bin"),
    ],
)
def test_boxes_of_a_wrong_decoding(heads, mistake, text):
    assert explain_boxes(heads, boxes_of(heads, **mistake)).startswith(text)


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (1, "softmax over the four sides instead of the bins"),
        (3, "softmax over the anchor points instead of the bins"),
        (None, "the softmax over the bins is missing"),
    ],
)
def test_a_softmax_in_another_place(heads, dim, text):
    levels = []
    for maps, step in zip(heads.reg, STRIDES, strict=True):
        h, w = maps.shape[2:]
        logits = maps.view(1, 4, BINS, h * w)
        means = (logits if dim is None else logits.softmax(dim)).transpose(2, 3)
        left, top, right, bottom = (means @ torch.arange(BINS).float()).unbind(1)
        x = (torch.arange(h * w) % w + 0.5)[None]
        y = (torch.arange(h * w) // w + 0.5)[None]
        levels.append(torch.stack([x - left, y - top, x + right, y + bottom], 2) * step)
    assert explain_boxes(heads, torch.cat(levels, 1)) == text


def test_scores_of_a_wrong_decoding(heads):
    logits = torch.cat([x.flatten(2) for x in heads.logits], 2)
    wrong = {
        "the sigmoid is missing": logits,
        "softmax over the classes instead of the sigmoid": logits.exp()
        / logits.exp().sum(1, keepdim=True),
        "the sigmoid is taken twice": 1 / (1 + (-1 / (1 + (-logits).exp())).exp()),
        "the square root of the scores is taken": (1 / (1 + (-logits).exp())).sqrt(),
        "the classes are in reverse order": (1 / (1 + (-logits).exp()))[:, [2, 1, 0]],
    }
    assert {text: explain_scores(heads, made) for text, made in wrong.items()} == {
        text: text for text in wrong
    }


def test_an_unknown_mistake_is_reported_as_unknown(heads):
    boxes, scores = decode(heads, Integral(BINS - 1))
    assert explain_boxes(heads, boxes + 1) == UNKNOWN_CAUSE
    assert explain_boxes(heads, boxes[:, :5]) == UNKNOWN_CAUSE
    assert explain_boxes(heads, boxes * math.nan) == UNKNOWN_CAUSE
    assert explain_scores(heads, scores * 0.5) == UNKNOWN_CAUSE
