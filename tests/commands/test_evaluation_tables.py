from dataclasses import replace
from io import StringIO

import pytest
from evaluation_reports import CUBIC, HOSTILE, LINEAR, NOTHING_FOUND, NOTHING_TO_FIND, REPORT
from rich.console import Console

from picodet.commands.evaluation_tables import print_reports
from picodet.evaluation.report.formatting import NO_VALUE
from picodet.evaluation.schema import STATS


def printed(*reports, per_class=False, width=80):
    console = Console(file=StringIO(), width=width)
    print_reports(reports, per_class, console)
    return console.file.getvalue()


def cells(text, start):
    """The words of the first row that begins like this."""
    return next(line.split() for line in text.splitlines() if line.startswith(start))


OTHER = replace(
    REPORT,
    interp=1,
    stats=LINEAR,
    detections=39903,
    settings={**REPORT.settings, "resize": "416 x 416, interp 1 (linear)"},
    what_if=(),
    notes=(),
)
MANY = replace(
    REPORT,
    classes=tuple(replace(REPORT.classes[0], name=f"class {i:02}", ap=i / 100) for i in range(12)),
)


def test_the_twelve_in_cocos_words():
    text = printed(REPORT)
    for name, value in zip(STATS, CUBIC, strict=True):
        assert cells(text, f"{name} ")[-1] == f"{value:.5f}"
    assert cells(text, "APm") == ["APm", "0.50:0.95", "medium", "100", "0.34698"]
    assert cells(text, "AR10 ") == ["AR10", "0.50:0.95", "all", "10", "0.45284"]
    assert cells(text, "interp 2 ") == ["interp", "2", "400", "39,888", "12.5", "32.0"]
    assert text.rstrip().endswith("this AP is not COCO's\nAP 32.2 (interp 2)")


def test_several_runs_stand_side_by_side():
    text = printed(REPORT, OTHER)
    assert cells(text, "AP50")[-2:] == ["0.47022", "0.47090"]
    assert cells(text, "interp 1 ")[3] == "39,903"
    assert "416 x 416, interp 2 (cubic); 416 x 416, interp 1 (linear)" in text
    assert cells(text, "cat") == ["cat", "0.61000", "0.61000", "9"]
    assert text.rstrip().endswith("AP 32.2 (interp 2), 32.2 (interp 1)")


def test_five_runs_fit_80_columns_unbroken():
    text = printed(*(replace(OTHER, interp=i) for i in range(5)))
    assert cells(text, "ARl")[-5:] == ["0.72626"] * 5
    assert cells(text, "person") == ["person", *["0.45000"] * 5, "1,204"]
    assert "…" not in text


def test_what_if_says_difference_and_interval():
    text = printed(REPORT)
    assert cells(text, "interp 1 (linear)")[3:] == [
        *("0.32225", "+0.00001", "[-0.00260,", "+0.00273]", "39,903"),
    ]
    assert cells(text, "interp 2 (cubic)")[3:] == ["0.32225", NO_VALUE, NO_VALUE, "39,888"]
    assert "includes 0, these images do not distinguish the two" in " ".join(text.split())
    assert "…" not in text


def test_a_wide_terminal_shows_all_of_a_what_if():
    assert cells(printed(REPORT, width=140), "interp 1 (linear)")[-4:] == [
        *("0.12448", "0.34621", "0.50815", "39,903"),
    ]


def test_few_classes_are_all_shown_best_first():
    text = printed(REPORT)
    assert text.index("\ncat") < text.index("\nperson") < text.index("\ncup")
    assert cells(text, "cat")[1:] == ["0.61000", "0.82000", "0.66000", "0.72000", "9", "40"]
    assert "no ground truth, left out of the means: toaster, hair drier" in text


def test_of_many_classes_the_ends_are_shown():
    text = printed(MANY)
    assert "(2 more: --per-class)" in text
    assert "class 07" in text
    assert "class 06" not in text
    assert "class 05" not in text
    assert "class 04" in text
    text = printed(MANY, per_class=True)
    assert "more:" not in text
    assert text.count("class ") == 12 + 1  # and the header


def test_a_dash_has_its_reason():
    text = printed(NOTHING_FOUND)
    assert cells(text, "ARs ")[-1] == NO_VALUE
    assert "APs, ARs: no small ground truth" in text
    assert cells(text, "interp 2 ")[-1] == NO_VALUE  # nothing was timed
    text = printed(NOTHING_TO_FIND)
    assert "AP, AP50, AP75, AR1, AR10, AR100: no ground truth" in text
    assert text.rstrip().endswith(f"AP {NO_VALUE} (interp 2)")


def test_names_are_data_and_not_markup():
    text = printed(replace(REPORT, model=HOSTILE, notes=("a\x1b[31mb",)), width=200)
    assert text.startswith(HOSTILE)
    assert f"cup{HOSTILE}" in text
    assert "a\\x1b[31mb" in text


def test_results_from_a_file_have_no_interp():
    assert printed(replace(REPORT, interp=None)).rstrip().endswith("AP 32.2 (result)")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits(width):
    text = printed(REPORT, OTHER, width=width)
    assert max(len(line) for line in text.splitlines()) <= width


def test_runs_that_share_their_time_do_not_have_it_each():
    together = replace(REPORT, runs=2)
    text = printed(together, replace(OTHER, runs=2))
    assert cells(text, "interp 2 ")[4:] == ["12.5", "for", "all", "2", NO_VALUE]
    assert "32.0" not in text


def test_the_last_line_has_the_caveat_beside_the_number():
    text = printed(replace(REPORT, caveat="which covers 2,901 of 5,000 images"))
    assert text.rstrip().endswith("AP 32.2 (interp 2), which covers 2,901 of 5,000 images")
