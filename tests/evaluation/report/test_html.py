import base64
import re
from dataclasses import replace

import numpy as np
import pytest
from evaluation_reports import (
    CUBIC,
    HOSTILE,
    NOTHING_FOUND,
    NOTHING_TO_FIND,
    REPORT,
    WHAT_IF,
    WORST,
)
from parsed import ParsedPage

from picodet.evaluation.report.formatting import NO_VALUE
from picodet.evaluation.report.html import render_html
from picodet.evaluation.report.html_images import worst_gallery
from picodet.evaluation.report.html_sensitivity import Axis, axis, what_if
from picodet.evaluation.schema import Interval

BARE = replace(REPORT, classes=(), worst=(), what_if=(), notes=(), settings={}, commands=())
ALL = pytest.mark.parametrize(
    "report",
    [REPORT, NOTHING_TO_FIND, NOTHING_FOUND, BARE],
    ids=["full", "no ground truth", "nothing found", "bare"],
)


@ALL
def test_it_is_html_that_loads_nothing_and_runs_nothing(report):
    text = render_html(report)
    parsed = ParsedPage(text)
    assert all(value.startswith("data:image/jpeg;base64,") for value in parsed.loaded)
    assert "default-src 'none'" in text
    assert "script" not in parsed.tags
    assert not re.search(r"https?:|@import|url\(", text)
    assert not re.search(r"\bnan\b|-1\.0|-100\.", text)


def test_text_from_data_is_text_wherever_it_stands():
    hostile = replace(
        REPORT,
        model=HOSTILE,
        annotations=HOSTILE,
        settings={HOSTILE: HOSTILE},
        notes=(HOSTILE,),
        versions={HOSTILE: HOSTILE},
        commands=(HOSTILE,),
        what_if=(replace(WHAT_IF[0], name=HOSTILE),),
        worst=(replace(WORST[0], file=f'{HOSTILE}" onload="'),),
    )
    text = render_html(hostile)
    assert "<script" not in text
    assert 'onload="' not in text
    assert text.count("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;[bold]") >= 16
    ParsedPage(text)


def test_the_number_stands_on_top():
    text = render_html(REPORT)
    assert "<title>AP 32.2: picodet_s_416_coco.onnx on instances_val400.json</title>" in text
    assert '<header class="open"><h1>AP 32.2</h1>' in text
    assert "400 images, 39,888 detections; 12.5 s, 32.0 images per second" in text
    assert text.index("<h1>") < text.index("this AP is not COCO&#x27;s") < text.index("<h2>")
    assert '<header class="measured">' in render_html(BARE)


def test_the_order_of_the_parts():
    headings = re.findall(r"<h2>(.*?)</h2>", render_html(REPORT))
    assert headings == [
        *("The twelve numbers", "What if", "Precision over recall", "Classes, best first"),
        *("Worst images", "What the numbers depend on", "To reproduce these numbers"),
    ]


def test_the_twelve_have_their_meaning():
    tiles = re.findall(
        r"<li><h3>(.*?)</h3><p class=\"value\">(.*?)</p>.*?</li>", render_html(REPORT)
    )
    assert [float(value) for _, value in tiles] == list(CUBIC)
    assert tiles[3] == ("APs", "0.12124")
    text = render_html(REPORT)
    assert "IoU 0.50:0.95<br><b>area small</b><br>maxDets 100" in text
    assert "IoU 0.50:0.95<br>area all<br><b>maxDets 10</b>" in text


def test_a_dash_has_its_reason():
    text = render_html(NOTHING_FOUND)
    assert (
        f'<h3>APs</h3><p class="value">{NO_VALUE}</p><p class="why">no small ground truth' in text
    )
    assert text.count('<p class="why">') == 2
    text = render_html(NOTHING_TO_FIND)
    assert f"<h1>AP {NO_VALUE}</h1>" in text
    assert text.count(f'<p class="value">{NO_VALUE}</p>') == 12
    assert "There is no ground truth, so there is no curve." in text


def test_what_if_rows_say_difference_and_interval():
    text = what_if(WHAT_IF)
    assert "-0.04225<small>[-0.05100, -0.03330]</small>" in text
    assert re.findall(r'<svg role="img" class="(\w+)">', text) == [
        *("first", "open", "worse", "better"),
    ]


def test_intervals_are_drawn_where_they_are():
    shared = axis(WHAT_IF)
    assert shared.low < -0.051 < 0.0061 < shared.high
    text = what_if(WHAT_IF)
    low, high = (f"{shared.x(value):.2f}%" for value in (-0.051, -0.0333))
    assert f'<line class="span" x1="{low}" x2="{high}"' in text
    assert Axis(-1, 3).x(0) == 25


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.05, 0.01, [-0.04, -0.02, 0]),
        (-0.0011, 0.0034, [-0.001, 0, 0.001, 0.002, 0.003]),
        (-1, 3, [-1, 0, 1, 2, 3]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert Axis(low, high).ticks() == pytest.approx(expected)


def test_a_tick_at_the_edge_has_no_label():
    near = replace(WHAT_IF[1], against_first=Interval(-0.01, -0.0201, 0.01))
    labels = re.findall(r'<text class="tick mid".*?>(.*?)</text>', what_if([*WHAT_IF[:1], near]))
    assert labels == ["-0.01", "0"]


def test_an_axis_of_no_differences_has_a_width():
    assert axis(WHAT_IF[:1]) == Axis(-0.001, 0.001)
    assert what_if(WHAT_IF[:1]).count('class="first"') == 1


def test_curves_are_drawn_to_scale():
    text = render_html(REPORT)
    line = re.search(r'<path class="curve-0" d="M(.*?)"', text)[1]
    points = np.array([point.split() for point in line.split("L")], float)
    assert len(points) == 101
    assert points[0] == pytest.approx([46, 12])  # recall 0, precision 1
    assert points[-1] == pytest.approx([470, 310])  # recall 1, precision 0
    assert "IoU 0.50: AP 0.50000" in text
    assert "recall 0.50\nIoU 0.50: precision 0.500\nIoU 0.75: precision 0.250" in text


def test_classes_come_best_first_and_those_without_boxes_apart():
    text = render_html(REPORT).split("Classes, best first")[1].split("Worst images")[0]
    assert re.findall(r'scope="row">(\w+)', text) == ["cat", "person", "cup"]
    assert '<rect width="61.00%"/><line x1="82.00%" x2="82.00%"' in text
    assert "2 classes have no ground truth" in text
    assert "toaster (3), hair drier." in text
    one = replace(REPORT, classes=REPORT.classes[:1])
    assert "no ground truth" not in render_html(one)


def test_boxes_are_drawn_in_the_pixels_of_the_original():
    text = worst_gallery(WORST)
    assert 'viewBox="0 0 640 480"' in text
    assert "--ratio:1.3333" in text
    assert '<rect x="10.0" y="20.0" width="100.0" height="200.0"/>' in text
    assert base64.b64encode(WORST[0].jpeg).decode() in text
    counts = re.findall(r'<span class="(\w+)">(\d) [\w ]+</span>', text)
    assert counts == [("true_positives", "1"), ("false_positives", "1"), ("false_negatives", "2")]


def test_boxes_beyond_the_image_are_drawn_on_its_edge_and_reported_in_full():
    text = worst_gallery(WORST)
    assert '<rect x="0.0" y="0.0" width="320.0" height="470.0"/>' in text
    assert "left, top, right, bottom: -5.0, 0.0, 320.0, 470.0" in text
    assert '<rect x="600.0" y="5.0" width="40.0" height="95.0"/>' in text


def test_the_smallest_box_is_on_top_and_has_its_score():
    titles = re.findall(r"<g class=\"\w+\"><title>(.*?)\n", worst_gallery(WORST))
    assert [title.split(":")[0] for title in titles] == [
        "false positives",
        "true positives",
        "false negatives",
        "false negatives",
    ]
    assert titles[1] == "true positives: person 0.91"
    assert titles[2] == "false negatives: cat"


def test_labels_stand_above_all_boxes_and_again_in_their_own():
    text = worst_gallery(WORST)
    assert text.count('">person 0.91</text>') == 2
    assert text.index('</g><text class="') > text.rindex("<rect")


def test_a_label_without_a_place_is_only_in_its_box():
    crowded = replace(
        WORST[0], true_positives=WORST[0].true_positives * 9, false_positives=(), false_negatives=()
    )
    assert (
        worst_gallery([crowded]).count('">person 0.91</text>') == 9 + 3
    )  # above the box no letter fits


def test_what_is_drawn_is_reported_too():
    shown = re.search("<details><summary>.*</summary>(.*?)</details>", worst_gallery(WORST))[1]
    assert shown.startswith(
        "<p>true positives: 1 person</p><p>false positives: 1 cup&lt;script&gt;"
    )
    assert shown.endswith("<p>false negatives: 2 cat</p>")


def test_what_was_not_timed_has_no_speed():
    assert "400 images, 0 detections</p>" in render_html(NOTHING_FOUND)


def test_the_number_is_not_shown_without_its_caveat():
    text = render_html(replace(REPORT, caveat="not COCO's: 3 images left out", runs=2))
    assert "<h1>AP 32.2, not COCO&#x27;s: 3 images left out</h1>" in text
    assert "<title>AP 32.2, not COCO&#x27;s: 3 images left out: picodet_s_416" in text
    assert "39,888 detections; 12.5 s for all 2 runs</p>" in text
    assert "images per second" not in text
