from pathlib import Path

import numpy as np

from picodet.commands.detection_table import print_detections
from picodet.inference.images import ImageDetections
from picodet.ops.postprocess import Detections


def test_a_row_per_object_and_the_image_once(capsys):
    boxes, scores = np.array([(1, 2.25, 3, 4), (5, 6, 7, 8)]), np.array([0.5, 0.25])
    found = Detections(boxes, scores, np.array([0, 1]))
    nothing = Detections(np.empty((0, 4)), np.empty(0), np.empty(0, int))
    print_detections(
        [
            ImageDetections(Path("x/one.jpg"), found, ("[red]cow", "dog"), Path("out")),
            ImageDetections(Path("x/two.jpg"), nothing, (), Path("out")),
        ]
    )
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["one.jpg", "[red]cow", "0.500", "1.0", "2.2", "3.0", "4.0"] in rows
    assert ["dog", "0.250", "5.0", "6.0", "7.0", "8.0"] in rows
    assert ["two.jpg", "nothing"] in rows
