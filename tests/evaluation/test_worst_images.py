from made_datasets import annotations, results

from picodet.evaluation.matching import match
from picodet.evaluation.worst_images import worst_pictures

SQUARE, AWAY = (0, 0, 40, 40), (100, 100, 40, 40)


def test_most_wrong_and_missed_boxes_come_first():
    made = annotations(
        [
            *((0, 0, SQUARE, 1600, 0), (1, 0, SQUARE, 1600, 0), (1, 1, SQUARE, 1600, 0)),
            *((2, 0, SQUARE, 1600, 1), (3, 0, SQUARE, 1600, 0)),
        ]
    )
    found = results(
        [
            *((0, 0, SQUARE, 0.31), (0, 0, AWAY, 0.29)),  # all right as far as it is shown
            *((1, 0, AWAY, 0.4), (1, 0, SQUARE, 0.3), (1, 2, AWAY, 0.5)),  # two wrong, one missed
            *((2, 0, SQUARE, 0.9), (2, 1, SQUARE, 0.8)),  # a crowd is nobody's fault; one wrong
            (3, 0, SQUARE, 0.2),  # found below what is shown: missed
        ]
    )
    worst = worst_pictures(match(made, found), score_from=0.3)
    assert [(each.picture, each.cost) for each in worst] == [(1, 3), (2, 1), (3, 1)]
    first, second, third = worst
    assert (first.found.tolist(), first.wrong.tolist()) == ([3], [4, 2])
    assert first.missed.tolist() == [2]
    assert (len(second.found), second.wrong.tolist(), len(second.missed)) == (0, [6], 0)
    assert third.missed.tolist() == [4]
    assert len(worst_pictures(match(made, found), count=2)) == 2


def test_nothing_to_show():
    assert worst_pictures(match(annotations([]), results([]))) == ()
    (only,) = worst_pictures(match(annotations([]), results([(3, 0, SQUARE, 1)])))
    assert (only.picture, only.wrong.tolist()) == (3, [0])
