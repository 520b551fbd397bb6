import json
from dataclasses import replace

import pytest

from picodet.commands.model_tables import ModelRow, print_models, rows
from picodet.zoo.official import OFFICIAL

URL = "https://paddledet.bj.bcebos.com/models/picodet_s_416_coco.pdparams"
LONG = "https://127.0.0.1/" + "x" * 300
CONFIG = "configs/picodet/legacy_model/picodet_s_416_coco.yml"
PEOPLE = "the persons of COCO val2017"
COCO = (30.7, "mAP 0.5:0.95", "COCO val2017")
NONE = (None, "", "")
S = ModelRow(
    *("picodet_s_416_coco", "2021: ESNet", (416, 416), 80, 992_719, *COCO, URL, None, CONFIG)
)
L = ModelRow(
    *("picodet_lcnet_x1_0_layout", "others", (800, 608), 5, 1_791_992, *NONE, LONG, None, "a.yml")
)
T = ModelRow("[red]teacher", "others", None, 80, 7_084_724, *NONE, None, None, "b.yml")
NEW = ModelRow(
    *("picodet_s_320_voc", "2021: ESNet", (320, 320), 20, 969_439, *NONE, None, None, "c.yml")
)


def lines_of(text):
    return [line.split() for line in text.splitlines() if line.strip()]


def test_in_a_pipe_every_model_is_a_whole_line_under_its_group(capsys):
    print_models([S, L, T, NEW])
    lines = lines_of(capsys.readouterr().out)
    assert lines[0] == ["name", "input", "classes", "parameters", "AP", "weights"]
    assert lines[2:5] == [
        ["2021:", "ESNet"],
        ["picodet_s_416_coco", "416", "x", "416", "80", "0.99", "M", "30.7", URL],
        ["picodet_s_320_voc", "320", "x", "320", "20", "0.97", "M", "-", "none", "published"],
    ]
    assert lines[-4:-1] == [
        ["others"],
        ["picodet_lcnet_x1_0_layout", "800", "x", "608", "5", "1.79", "M", "-", LONG],
        ["[red]teacher", "-", "80", "7.08", "M", "-", "none", "published"],
    ]


def test_on_a_terminal_a_long_address_is_folded_and_nothing_is_lost(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    print_models([L])
    out = capsys.readouterr().out
    assert out.count("x") - "picodet_lcnet_x1_0_layout 800 x 608".count("x") == 300
    assert "…" not in out


def test_an_ap_of_something_else_has_a_mark_and_below_it_is_reported_of_what(capsys):
    """APs on other datasets or by another metric are marked, as they cannot be compared."""
    walker = replace(S, name="walker", ap=29.0, measured_on=PEOPLE)
    body = replace(S, name="body", ap=41.5, measured_on="main bodies")
    unknown = replace(S, name="unknown", ap=None, measured_on="nothing")
    rough = replace(S, name="rough", ap=97.8, metric="mAP 0.5")
    print_models([S, walker, body, replace(walker, name="runner"), unknown, rough])
    shown = capsys.readouterr().out
    assert {line[0]: " ".join(line[7:-1]) for line in lines_of(shown)[3:9]} == {
        "picodet_s_416_coco": "30.7",
        "walker": "[1] 29.0",
        "body": "[2] 41.5",
        "runner": "[1] 29.0",
        "unknown": "-",
        "rough": "[3] 97.8",
    }
    assert [line.strip() for line in shown.splitlines() if "mAP" in line] == [
        "AP: mAP 0.5:0.95 in percent on COCO val2017",
        "[1]: mAP 0.5:0.95 in percent on the persons of COCO val2017",
        "[2]: mAP 0.5:0.95 in percent on main bodies",
        "[3]: mAP 0.5 in percent on COCO val2017",
    ]


def test_for_machines():
    assert json.loads(json.dumps(S.as_json())) == {
        "name": "picodet_s_416_coco",
        "group": "2021: ESNet",
        "input_size": [416, 416],
        "num_classes": 80,
        "parameters": 992_719,
        "ap": 30.7,
        "metric": "mAP 0.5:0.95",
        "measured_on": "COCO val2017",
        "url": URL,
        "folder_url": None,
        "config": CONFIG,
    }


@pytest.mark.slow
def test_every_official_model_is_a_row_with_its_own_numbers(golden):
    counts = json.loads((golden / "counts.json").read_text())
    found = rows()
    assert [row.name for row in found] == [official.config.name for official in OFFICIAL]
    assert all(row.parameters == counts[row.name]["parameters"] - 4 for row in found)


def test_by_example():
    by_name = {row.name: row.as_json() for row in rows()}
    assert by_name["picodet_s_192_pedestrian"] == {
        "name": "picodet_s_192_pedestrian",
        "group": "PaddleDetection 2021",
        "input_size": (192, 192),
        "num_classes": 1,
        "parameters": 962_063,
        "ap": 29.0,
        "metric": "mAP 0.5:0.95",
        "measured_on": "the persons of COCO val2017",
        "url": "https://bj.bcebos.com/v1/paddledet/models/keypoint/picodet_s_192_pedestrian.pdparams",
        "folder_url": None,
        "config": "configs/picodet/legacy_model/application/pedestrian_detection/"
        "picodet_s_192_pedestrian.yml",
    }
