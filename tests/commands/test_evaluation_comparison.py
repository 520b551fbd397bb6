from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from evaluation_reports import COMPARISON, HOSTILE, SAME
from rich.console import Console

from picodet.commands.evaluation_comparison import print_comparison, verdict
from picodet.evaluation.compare import DifferenceStats
from picodet.evaluation.report.formatting import NO_VALUE
from picodet.evaluation.schema import Interval


def printed(comparison, width=80):
    console = Console(file=StringIO(), width=width)
    print_comparison(comparison, "a.json", HOSTILE, console)
    return console.file.getvalue()


def cells(text, start):
    return next(line.split() for line in text.splitlines() if line.startswith(start))


def test_numbers_of_both_and_their_difference():
    text = printed(COMPARISON)
    assert cells(text, "APl") == ["APl", "0.50815", "0.51306", "+0.00491"]
    assert cells(text, "AR1 ") == ["AR1", "0.28539", "0.28725", "+0.00186"]
    assert cells(text, "AP ") == ["AP", "0.32225", "0.32225", "0.00000"]


@pytest.mark.parametrize(
    ("start", "count"),
    [
        *(("detections of A", "9"), ("detections of B", "8"), ("matched", "7")),
        *(("the same", "4"), ("missing", "2"), ("extra", "1")),
    ],
)
def test_detections_are_counted(start, count):
    assert count in cells(printed(COMPARISON), start)


def test_how_far_the_matched_are_apart():
    text = printed(COMPARISON)
    assert cells(text, "score ")[1:] == ["0.01", "0.05", "0.1"]
    assert cells(text, "farthest side")[-3:] == ["1.5", "20", "123"]
    row = next(line for line in printed(COMPARISON, 120).splitlines() if line.startswith("a.jpg"))
    assert row.split() == ["a.jpg", *HOSTILE.split(), "4", "6", "0.50000", "0.60000", "1"]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.004, 0.003, "these images do not distinguish the two"),
        (0.001, 0.003, "B is better"),
        (-0.004, -0.001, "B is worse"),
    ],
)
def test_the_interval_decides_the_verdict(low, high, verdict):
    text = printed(replace(COMPARISON, interval=Interval((low + high) / 2, low, high)), 160)
    assert f"{low:+.5f}, {high:+.5f}]: {verdict}\n" in text


def test_the_verdict_comes_last():
    text = printed(COMPARISON, 120)
    assert text.endswith("DIFFERS: 2 missing, 1 extra, 3 moved or scored otherwise\n")
    text = printed(SAME, 120)
    assert text.endswith("SAME: 7 detections; scores within 1e-05, sides within 0.02 pixels\n")
    assert "interval" not in text
    assert "farthest pairs" not in text


def test_only_what_differs_is_in_the_verdict():
    found = replace(SAME, detections_b=8, extra=np.array([7]))
    assert verdict(found) == "DIFFERS: 1 extra"


def test_nothing_to_find_leaves_no_difference():
    text = printed(replace(COMPARISON, stats_a=(-1.0,) * 12, stats_b=(-1.0,) * 12))
    assert cells(text, "AP ") == ["AP", NO_VALUE, NO_VALUE, NO_VALUE]
    assert "interval" not in text


def test_nothing_matched_is_no_difference_of_zero():
    none = DifferenceStats(0, 0, 0)
    text = printed(replace(COMPARISON, matched=0, same=0, score=none, box=none, worst=()))
    assert "difference of the matched" not in text
    assert cells(text, "matched")[1] == "0"
