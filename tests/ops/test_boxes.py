import torch

from picodet.ops.boxes import (
    box_centers,
    enclosing_area,
    intersection_and_union,
    min_distance_to_sides,
)

BOXES = torch.tensor([[0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 9.0]])
OTHER = torch.tensor([1.0, 1.0, 3.0, 4.0])


def test_areas_of_two_boxes():
    """Worked out: 1 of 4 + 6 is shared; disjoint boxes share nothing."""
    intersection, union = intersection_and_union(BOXES, OTHER)
    assert intersection.tolist() == [1, 0]
    assert union.tolist() == [9, 10]
    assert enclosing_area(BOXES, OTHER).tolist() == [3 * 4, 5 * 8]


def test_all_against_all():
    intersection, union = intersection_and_union(BOXES[:, None], BOXES)
    assert intersection.tolist() == [[4, 0], [0, 4]]
    assert union.tolist() == [[4, 8], [8, 4]]


def test_distance_to_the_nearest_side():
    points = torch.tensor([[2.0, 3.5], [1.5, 2.0], [0.0, 2.0], [2.0, 4.0]])
    assert min_distance_to_sides(points, OTHER).tolist() == [0.5, 0.5, -1, 0]


def test_centers():
    assert box_centers(BOXES).tolist() == [[1, 1], [5.5, 7]]
