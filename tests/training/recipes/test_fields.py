from dataclasses import replace

from picodet.training.recipes.fields import leaves, with_leaves
from picodet.training.recipes.official import RECIPES

S = RECIPES["picodet_s_416_coco"]


def test_each_number_by_its_path():
    found = leaves(S)
    assert len(found) == 41
    assert found["model"] == "picodet_s_416_coco"
    assert found["model.input_size"] == (416, 416)
    assert found["model.resize"] == "native"
    assert found["schedule.base_rate"] == 0.4
    assert found["averaging.cycle"] == 40
    assert found["snapshot_epochs"] == 10
    assert "assignment.center_radius" in found
    assert "assignment.static_epochs" in leaves(RECIPES["picodet_s_416_coco_lcnet"])


def test_changes_are_put_where_they_belong_and_nowhere_else():
    changed = with_leaves(
        S, {"schedule.base_rate": 0.1, "schedule.epochs": 5, "snapshot_epochs": 1}
    )
    assert changed == replace(
        S, schedule=replace(S.schedule, base_rate=0.1, epochs=5), snapshot_epochs=1
    )
    assert with_leaves(S, {}) == S
    smaller = with_leaves(S, {"model.input_size": (320, 320)}).model
    assert smaller == replace(S.model, input_size=(320, 320))
    both = {"model.input_size": (320, 320), "model.resize": "portable"}
    assert with_leaves(S, both).model == replace(
        smaller, preprocessing=replace(S.model.preprocessing, resize="portable")
    )
