import json

import cv2
import numpy as np
import overfit
import shapes


def test_shapes_are_where_the_boxes_say(tmp_path):
    shapes.write_split(tmp_path, "val2017", 6, seed=1)
    content = json.loads((tmp_path / "annotations/instances_val2017.json").read_text())
    assert [row["name"] for row in content["categories"]] == ["circle", "square", "triangle"]
    assert len(content["images"]) == 6
    assert {row["image_id"] for row in content["annotations"]} == set(range(1, 7))
    for row in content["annotations"]:
        x, y, width, height = row["bbox"]
        assert min(x, y) >= 0
        assert max(x + width, y + height) <= shapes.SIDE
        assert row["area"] == width * height
        assert min(width, height) >= shapes.SIZES[0] / 2
        pixels = cv2.imread(str(tmp_path / "val2017" / f"{row['image_id']:06d}.jpg"))
        middle = pixels[int(y + height / 2), int(x + width / 2)].astype(float)
        inside = pixels[int(y + height / 2) + 1, int(x + width / 2) + 1]
        assert np.abs(middle - inside).max() < 60  # one color, with noise of 8


def test_the_same_seed_draws_the_same():
    first, second, other = (shapes.draw_image(np.random.RandomState(i)) for i in (3, 3, 4))
    assert np.array_equal(first[0], second[0])
    assert first[1] == second[1]
    assert not np.array_equal(first[0], other[0])


def test_the_outline_of_a_square_by_hand():
    corners = shapes.outline("square", np.array([10.0, 20.0]), size=2 * 2**0.5, rotation=0)
    assert np.allclose(corners, [(11, 21), (9, 21), (9, 19), (11, 19)])


def test_images_of_few_boxes_are_chosen():
    content = {
        "images": [{"id": i} for i in range(1, 6)],
        "annotations": [
            *({"image_id": 1, "id": i} for i in range(overfit.MOST_BOXES + 1)),  # too many
            {"image_id": 2, "id": 20, "iscrowd": 1},
            {"image_id": 3, "id": 21},
            {"image_id": 5, "id": 22, "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "x"}],
    }
    found = overfit.small_subset(content)
    assert [row["id"] for row in found["images"]] == [3, 5]
    assert sorted(row["id"] for row in found["annotations"]) == [21, 22]
    assert len(overfit.small_subset(content, num_images=1)["images"]) == 1
