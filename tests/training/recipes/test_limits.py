import math
from dataclasses import replace

import pytest

from picodet.training.recipes.limits import (
    LIMITS,
    check_consistency,
    field_type,
    leaves,
    type_description,
    validated,
    with_values,
)
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.schema import Size

S = RECIPES["picodet_s_416_coco"]
NPU = RECIPES["picodet_s_416_coco_npu"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_official_numbers_are_within_them(name):
    for path, value in leaves(RECIPES[name]).items():
        if path != "model":
            assert validated(value, path, field_type(RECIPES[name], path)) == value
    check_consistency(leaves(RECIPES[name]))


def test_every_number_has_some():
    numbers = {
        path
        for recipe in (S, NPU)
        for path in leaves(recipe)
        if path not in ("model", "model.input_size", "augmentation.sizes")
        and {int, float}
        & {field_type(recipe, path), *getattr(field_type(recipe, path), "__args__", ())}
    }
    assert numbers == LIMITS.keys()


@pytest.mark.parametrize(
    ("path", "value", "fits"),
    [
        ("schedule.base_lr", "4e-5", 4e-5),  # text, for PyYAML
        ("schedule.base_lr", 1, 1.0),
        ("schedule.epochs", 7, 7),
        ("ema.cycle", None, None),
        ("ema.cycle", 3, 3),
        ("ema.start", "parameters", "parameters"),
        ("augmentation.distort", None, None),
        ("augmentation.sizes", [320, [416, 352]], ((320, 320), (416, 352))),
        ("model.input_size", 640, (640, 640)),
        ("sync_bn", True, True),
        ("backbone_weights", None, None),
    ],
)
def test_what_fits(path, value, fits):
    found = validated(value, path, field_type(S, path))
    assert found == fits
    assert type(found) is type(fits)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("schedule.base_lr", "fast", "expected a number"),
        ("schedule.base_lr", True, "expected a number"),
        ("schedule.base_lr", 0, "expected a number from 1e-09 to 100"),
        ("schedule.base_lr", -0.1, "expected a number from"),
        ("schedule.base_lr", math.nan, "expected a number from"),
        ("schedule.base_lr", math.inf, "expected a number from"),
        ("schedule.epochs", 7.0, "expected a whole number"),
        ("schedule.epochs", True, "expected a whole number"),
        ("schedule.epochs", 0, "expected a number from 1 to 100000"),
        ("ema.cycle", 0, "expected a number from 1"),
        ("ema.cycle", "40", "expected a whole number or null"),
        ("ema.start", "zeros", "expected 'zero' or 'parameters'"),
        ("augmentation.distort", "ppdet", "expected 'ppdet-2.6' or 'ppdet-2.7' or null"),
        ("augmentation.sizes", 320, "expected a list of sizes"),
        ("augmentation.sizes", [], "expected a list of sizes"),
        ("augmentation.sizes", [330], "of multiples of 32"),
        ("augmentation.sizes", [[320, 320, 3]], "a list of sizes"),
        ("model.input_size", [320.0, 320], "a size, S or"),
        ("sync_bn", 1, "expected true or false"),
    ],
)
def test_what_does_not(path, value, expected):
    with pytest.raises(ValueError, match=expected):
        validated(value, path, field_type(S, path))


def test_numbers_that_do_not_go_together():
    good = leaves(S)
    with pytest.raises(
        ValueError, match=r"epochs is 400; expected at most .* `epochs: 400` sets both"
    ):
        check_consistency(good | {"schedule.epochs": 400})
    with pytest.raises(ValueError, match=r"leave no epoch of schedule\.decay_epochs 300"):
        check_consistency(good | {"schedule.warmup_epochs": 290, "schedule.plateau_epochs": 10})


def test_in_words():
    assert type_description(Size) == "a size, S or [height, width], of multiples of 32"
    assert type_description(int | None) == "a whole number or null"


def test_each_number_by_its_path():
    found = leaves(S)
    assert len(found) == 41
    assert found["model"] == "picodet_s_416_coco"
    assert found["model.input_size"] == (416, 416)
    assert found["model.resize"] == "native"
    assert found["schedule.base_lr"] == 0.4
    assert found["ema.cycle"] == 40
    assert found["snapshot_epochs"] == 10
    assert "assignment.center_radius" in found
    assert "assignment.static_epochs" in leaves(RECIPES["picodet_s_416_coco_lcnet"])


def test_changes_are_put_where_they_belong_and_nowhere_else():
    changed = with_values(S, {"schedule.base_lr": 0.1, "schedule.epochs": 5, "snapshot_epochs": 1})
    assert changed == replace(
        S, schedule=replace(S.schedule, base_lr=0.1, epochs=5), snapshot_epochs=1
    )
    assert with_values(S, {}) == S
    smaller = with_values(S, {"model.input_size": (320, 320)}).model
    assert smaller == replace(S.model, input_size=(320, 320))
    both = {"model.input_size": (320, 320), "model.resize": "portable"}
    assert with_values(S, both).model == replace(
        smaller, preprocessing=replace(S.model.preprocessing, resize="portable")
    )
