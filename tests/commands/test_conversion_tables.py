from dataclasses import replace

import pytest

from picodet.commands.conversion_tables import print_problems, print_report
from picodet.converter.convert import ConversionReport
from picodet.converter.match_tensors import Problem, UnmatchedTensor

REPORT = ConversionReport(
    source="in.pdparams",
    form="ppdet checkpoint",
    output="out.pth",
    kind="detector",
    variant="picodet_s_416",
    classes=3,
    input_size=(416, 320),
    tensors=10,
    mapped=7,
    parameters=992_715,
    dtypes={"float32": 5, "float64": 2},
    skipped=(
        UnmatchedTensor("a.1", "no use"),
        UnmatchedTensor("a.2", "no use"),
        UnmatchedTensor("b", "[red]why"),
    ),
    initialized=(UnmatchedTensor("n.1", "counts"), UnmatchedTensor("n.2", "counts")),
    dropped=(UnmatchedTensor("d.1", "no place"),),
    reconstructed=(UnmatchedTensor("s.1", "made again"),),
    notes=("something was [bold]assumed",),
    sha256="ab" * 32,
    seconds=0.1,
)


@pytest.mark.parametrize(
    "line",
    [
        "in.pdparams (ppdet checkpoint)",
        "picodet_s_416",
        "416 x 320",
        "10: 7 mapped, 3 skipped",
        "992,715 (0.99 M)",
        "5 float32, 2 float64; float64 was rounded to float32",
        "a.1 and 1 like it: no use",
        "b: [red]why",
        "n.1 and 1 like it: counts",
        "reconstructed  s.1: made again",
        "dropped        d.1: no place",
        "ab" * 32,
        "out.pth",
        "note: something was [bold]assumed",
    ],
)
def test_the_report_has_it_all(capsys, line):
    print_report(REPORT)
    assert line in capsys.readouterr().out


def test_a_backbone_has_no_input(capsys):
    print_report(replace(REPORT, kind="backbone", variant="esnet_x0_75", input_size=None))
    shown = capsys.readouterr().out
    assert "esnet_x0_75" in shown
    assert "input" not in shown
    assert "classes" not in shown


def test_problems_that_differ_in_numbers_share_a_row(capsys):
    print_problems([Problem("missing", f"a.{i}.w", "nothing", "[3]") for i in range(9)])
    shown = capsys.readouterr().err
    assert "a.0.w and 8 like it" in shown
    assert "a.1.w" not in shown


def test_others_have_their_own(capsys):
    shapes = [Problem("mismatched", f"a.{i}.w", f"[{i}]", "[3]") for i in range(3)]
    numbers = [Problem("not finite", f"b.{i}.w", "1 NaN", "numbers") for i in range(3)]
    print_problems(shapes + numbers)
    shown = capsys.readouterr().err
    assert all(f"{name}.{i}.w" in shown for i in range(3) for name in "ab")


def test_every_problem_is_shown_as_it_is_and_fit_for_a_terminal(capsys):
    names = [f"[red]{'x' * i}" for i in range(60)]
    missing = [Problem("missing", name, "nothing", "[3]") for name in names]
    print_problems([*missing, Problem("unexpected", "last\x1b[2J", "[3]", "none")])
    shown = capsys.readouterr().err
    assert shown.count("missing") == 60
    assert "[red]x" in shown
    assert "last\\x1b[2J" in shown
