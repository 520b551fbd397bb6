import base64
import re
from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import pytest
from comparisons import ALIGNED, BROKEN, DIFFERENT, FINE, HOSTILE, LAYERS, layer
from parsed import ParsedPage

from picodet.alignment.report.blocks import blocks
from picodet.alignment.report.html import html_report
from picodet.alignment.report.html_error_plots import MAX_MAP_SIZE, MAX_POINTS, error_map, scatter
from picodet.alignment.report.html_network import HEIGHT, _backbone_edges, _boxes, color_class
from picodet.alignment.result import Comparison, ErrorPlots
from picodet.graphs.tracing import trace
from picodet.zoo.architectures import VARIANTS

EMPTY = Comparison("a", "b", (), (), (), "", {})


@pytest.mark.parametrize("comparison", [ALIGNED, DIFFERENT, EMPTY], ids=["same", "other", "none"])
def test_the_html_loads_nothing_and_its_links_are_valid(comparison):
    text = html_report(comparison)
    parsed = ParsedPage(text)
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {link.removeprefix("#") for link in parsed.links} <= set(parsed.ids)
    assert all(value.startswith("data:image/png") for value in parsed.loaded)
    assert "script" not in parsed.tags
    assert not re.search(r"https?:|@import|url\((?!#)", text)


def test_names_are_escaped():
    text = html_report(DIFFERENT)
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;[bold]") >= 5
    assert HOSTILE not in text


@pytest.mark.parametrize(
    ("comparison", "verdict"),
    [
        (ALIGNED, "ALIGNED"),
        (DIFFERENT, "DIFFERS: 2 guilty layers"),
        (replace(DIFFERENT, layers=LAYERS[:3]), "DIFFERS: 1 guilty layer"),
        (replace(DIFFERENT, layers=()), "DIFFERS: layers"),
        (replace(DIFFERENT, layers=(), stages=DIFFERENT.stages[::2]), "NOT COMPARED: NMS"),
        (EMPTY, "NOT COMPARED"),
    ],
)
def test_the_verdict_is_on_top(comparison, verdict):
    text = html_report(comparison)
    assert f"<h1>{verdict}</h1>" in text
    assert f"<title>{verdict}:" in text


def test_the_guilty_come_worst_first():
    text = html_report(DIFFERENT)
    titles = re.findall(r"<h3>.*?</span> (.*?)</h3>", text)
    assert titles == ["head.predictors.1", "backbone.stage2.block1.conv_pw"]
    assert "vanishes with &lt;another&gt; slope" in text
    assert "<dt>at</dt><dd>[0, 3, 2, 1]</dd>" in text
    assert "Guilty" not in html_report(ALIGNED)


def test_every_layer_has_a_row_and_a_column():
    text = html_report(DIFFERENT)
    assert text.count('title="reference: their.') == len(LAYERS)
    assert text.count('class="column"') == len(LAYERS)


def test_the_color_of_a_difference():
    differences = [replace(FINE, error=e, floor=1e-7, allowed=8e-7) for e in (0, 1e-7, 2e-7)]
    assert [color_class(difference) for difference in differences] == ["exact", "noise", "allowed"]
    differences = [replace(FINE, error=e) for e in (9e-6, 2e-5, 2e-3, float("nan"))]
    assert [color_class(difference) for difference in differences] == [
        "over",
        "far",
        "farther",
        "broken",
    ]
    assert (color_class(BROKEN), color_class(None)) == ("broken", "unknown")


def test_a_block_of_a_tree_that_is_not_known_is_drawn_too():
    drawn = html_report(replace(ALIGNED, layers=(layer("stages.3.conv"),))).split("<h2>Along")[0]
    assert "<title>stages.3: 1 layer, aligned" in drawn


def pixels(shown):
    png = base64.b64decode(re.search(r"base64,([^\"]*)", shown)[1])
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_error_map_is_opaque_where_the_error_is():
    errors = np.array([[0, 0.5], [1.0, np.nan]])
    drawn = pixels(error_map(ErrorPlots(errors, errors[0], errors[0]), allowed=0.0))
    assert drawn[..., 3].tolist() == [[0, 127], [255, 255]]
    assert drawn[1, 1, :3].tolist() != drawn[1, 0, :3].tolist()


def test_a_large_error_map_is_merged_and_loses_no_maximum():
    errors = np.zeros((3 * MAX_MAP_SIZE, 2))
    errors[100, 1] = 1.0
    drawn = pixels(error_map(ErrorPlots(errors, errors[0], errors[0]), allowed=0.0))
    assert drawn.shape[:2] == (MAX_MAP_SIZE, 2)
    assert np.argwhere(drawn[..., 3] > 0).tolist() == [[33, 1]]


def test_the_scatter_keeps_the_greatest_errors():
    values = np.linspace(-1, 1, 100_000)
    changed = values.copy()
    changed[12_345] = 3.0
    drawn = scatter(ErrorPlots(np.zeros((1, 1)), changed, values))
    assert drawn.count("h0") <= MAX_POINTS
    assert ">3</text>" in drawn  # the end of the axis
    nothing = np.full(3, np.nan)
    assert "3 not finite" in scatter(ErrorPlots(np.zeros((1, 1)), nothing, nothing))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_network_is_drawn_completely_without_overlaps(variant):
    layers = [layer(call.path, call=call.number) for call in trace(variant).calls]
    boxes = _boxes([block.name for block in blocks(layers)])
    for (a, one), (b, other) in combinations(boxes.items(), 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        above = one.y + one.height <= other.y or other.y + other.height <= one.y
        assert beside or above, (a, b)
    assert max(box.y + box.height for box in boxes.values()) == boxes["head level 3"].y + HEIGHT
    ends = [start for start, end in _backbone_edges(list(boxes)) if end == "neck.conv_t"]
    assert len(ends) == 3
