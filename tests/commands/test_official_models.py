import json

from picodet.commands.official_models import rows
from picodet.zoo.official import OFFICIAL


def test_every_official_model_is_a_row_with_its_own_numbers(golden):
    counts = json.loads((golden / "counts.json").read_text())
    found = rows()
    assert [row.name for row in found] == [official.config.name for official in OFFICIAL]
    assert all(row.parameters == counts[row.name]["parameters"] - 4 for row in found)


def test_by_example():
    by_name = {row.name: row.as_json() for row in rows()}
    assert by_name["picodet_s_192_pedestrian"] == {
        "name": "picodet_s_192_pedestrian",
        "generation": "2021",
        "input_size": (192, 192),
        "num_classes": 1,
        "parameters": 962_063,
        "ap": 29.0,
        "measured_on": "the persons of COCO val2017",
        "url": "https://bj.bcebos.com/v1/paddledet/models/keypoint/picodet_s_192_pedestrian.pdparams",
        "config": "configs/picodet/legacy_model/application/pedestrian_detection/"
        "picodet_s_192_pedestrian.yml",
    }
