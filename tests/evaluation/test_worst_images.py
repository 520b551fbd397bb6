from made_datasets import make_annotations, make_predictions

from picodet.evaluation.matching import match
from picodet.evaluation.worst_images import rank_worst_images

SQUARE, AWAY = (0, 0, 40, 40), (100, 100, 40, 40)


def test_images_with_most_false_positives_and_negatives_come_first():
    made = make_annotations(
        [
            *((0, 0, SQUARE, 1600, 0), (1, 0, SQUARE, 1600, 0), (1, 1, SQUARE, 1600, 0)),
            *((2, 0, SQUARE, 1600, 1), (3, 0, SQUARE, 1600, 0)),
        ]
    )
    found = make_predictions(
        [
            *((0, 0, SQUARE, 0.31), (0, 0, AWAY, 0.29)),  # all right as far as it is shown
            *((1, 0, AWAY, 0.4), (1, 0, SQUARE, 0.3), (1, 2, AWAY, 0.5)),  # two wrong, one missed
            *((2, 0, SQUARE, 0.9), (2, 1, SQUARE, 0.8)),  # a crowd is nobody's fault; one wrong
            (3, 0, SQUARE, 0.2),  # found below what is shown: missed
        ]
    )
    worst = rank_worst_images(match(made, found), min_score=0.3)
    assert [(each.image, each.num_errors) for each in worst] == [(1, 3), (2, 1), (3, 1)]
    first, second, third = worst
    assert (first.true_positives.tolist(), first.false_positives.tolist()) == ([3], [4, 2])
    assert first.false_negatives.tolist() == [2]
    assert (
        len(second.true_positives),
        second.false_positives.tolist(),
        len(second.false_negatives),
    ) == (0, [6], 0)
    assert third.false_negatives.tolist() == [4]
    assert len(rank_worst_images(match(made, found), count=2)) == 2


def test_images_without_errors_are_left_out():
    assert rank_worst_images(match(make_annotations([]), make_predictions([]))) == ()
    (only,) = rank_worst_images(match(make_annotations([]), make_predictions([(3, 0, SQUARE, 1)])))
    assert (only.image, only.false_positives.tolist()) == (3, [0])
