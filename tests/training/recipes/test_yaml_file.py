"""A short YAML changes a recipe; errors in it are named."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from picodet.errors import TrainingError
from picodet.training.recipes.limits import leaves
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.yaml_file import resolve

S = RECIPES["picodet_s_416_coco"]
EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "recipes").glob("*.yml"))


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "mine.yml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_a_name():
    resolved = resolve("picodet_s_416_coco")
    assert resolved.recipe is S
    assert not resolved.changed
    assert resolved.sources.keys() == leaves(S).keys()


def test_a_file_changes_what_it_names(written):
    path = written(
        """
        recipe: picodet_s_416_coco
        schedule: {base_lr: 0.1, warmup_steps: 50}
        optimizer: {weight_decay: 1e-4}
        augmentation:
          sizes: [320, [416, 352]]
        snapshot_epochs: 10
        """
    )
    resolved = resolve(path)
    assert resolved.recipe == replace(
        S,
        schedule=replace(S.schedule, base_lr=0.1, warmup_steps=50),
        optimizer=replace(S.optimizer, weight_decay=1e-4),
        augmentation=replace(S.augmentation, sizes=((320, 320), (416, 352))),
    )
    assert resolved.changed == {
        *("schedule.base_lr", "schedule.warmup_steps", "optimizer.weight_decay"),
        "augmentation.sizes",
    }
    assert resolved.sources["schedule.base_lr"] == f"{path}: schedule.base_lr"
    assert resolved.sources["snapshot_epochs"] == f"{path}: snapshot_epochs"
    assert resolved.sources["losses.giou"].startswith("configs/picodet/")


def test_what_resizes_may_be_named(written):
    resolved = resolve(written("recipe: picodet_s_416_coco\nresize: portable\n"))
    assert resolved.recipe.model.preprocessing.resize == "portable"
    assert resolved.changed == {"model.resize"}
    with pytest.raises(TrainingError, match="`resize` is 'fast'; expected 'native' or 'portab"):
        resolve(written("recipe: picodet_s_416_coco\nresize: fast\n"))


def test_short_keys_stand_for_more_than_one_number(written):
    path = written("recipe: picodet_l_416_coco\nepochs: 100\ninput_size: 320\nema: ppdet-2.4\n")
    resolved = resolve(path)
    recipe = resolved.recipe
    assert (recipe.schedule.epochs, recipe.schedule.decay_epochs) == (100, 100)
    assert recipe.model.input_size == (320, 320)
    assert recipe.augmentation.sizes == RECIPES["picodet_l_320_coco"].augmentation.sizes
    assert (recipe.ema.applied, recipe.ema.cycle) == ("at snapshots", 40)
    assert resolved.sources["schedule.decay_epochs"] == f"{path}: epochs"


def test_a_numbers_own_key_goes_before_a_short_one_wherever_it_stands(written):
    resolved = resolve(
        written(
            "schedule: {decay_epochs: 150}\naugmentation: {sizes: [320]}\nepochs: 100\n"
            "input_size: [320, 352]\nrecipe: picodet_s_416_coco\n"
        )
    )
    schedule = resolved.recipe.schedule
    assert (schedule.epochs, schedule.decay_epochs) == (100, 150)
    assert resolved.recipe.augmentation.sizes == ((320, 320),)
    assert resolved.recipe.model.input_size == (320, 352)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds a NoneType; expected lines of `name: value`"),
        ("picodet_s_416_coco", "holds a str"),
        ("epochs: 3", "`recipe` is None; expected the name of an official recipe"),
        ("recipe: [a]", r"`recipe` is \['a'\]"),
        ("recipe: picodet_s_416", "Did you mean picodet_s_416_coco"),
        ("recipe: S\nepoch: 3", "`recipe` is 'S'"),
        ("recipe: R\nepoch: 3", "`epoch` is not a setting of a recipe. Did you mean epochs"),
        ("recipe: R\nschedule: {lr: 1}", "`schedule.lr` is .* Did you mean schedule."),
        ("recipe: R\nmodel: other", "`model` is not a setting of a recipe"),
        ("recipe: R\nmodel: {classes: [a]}", "`model.classes` is not a setting of a recipe"),
        (
            "recipe: R\nassignment: {static_epochs: 3}",
            "`assignment.static_epochs` is not a setting",
        ),
        ("recipe: R\nschedule: 3", "`schedule` is not a setting of a recipe"),
        ("recipe: R\nepochs: {a: 3}", "`epochs.a` is not a setting of a recipe"),
        ("recipe: R\nepochs: many", "`epochs` is 'many'; expected a whole number"),
        ("recipe: R\nepochs: 0", "`epochs` is 0; expected a number from 1"),
        ("recipe: R\nschedule: {epochs: 400}", "`epochs: 400` sets both"),
        ("recipe: R\nema: ppdet-2.5", "'ppdet-2.5'; expected ppdet-2.3 or ppdet-2.4"),
        ("recipe: R\nema: [1]", r"`ema` is \[1\]; expected ppdet-2.3"),
        ("recipe: R\ninput_size: 330", "`input_size` is 330; expected a size, S or"),
        ("recipe: R\nepochs: 3\nepochs: 4", "line 1: duplicate key 'epochs'"),
        ("recipe: R\nlosses: {giou: 1, giou: 2}", "line 2: duplicate key 'giou'"),
        ("recipe: R\nlosses: &a {giou: 1}\nschedule: *a", "or with YAML aliases"),
        ("recipe: R\na: [[[[[[[[1]]]]]]]]", "nested too deeply"),
        ("recipe: R\nlosses: !!python/object:os.system {}", "could not determine a constructor"),
        ("recipe: {", "mine.yml: "),
        ("---\nrecipe: R\n---\nrecipe: R", "expected a single document"),
        ("#" * 60_000, "larger than 50,000 bytes"),
    ],
)
def test_what_is_wrong_is_named(written, text, message):
    path = written(text.replace("recipe: R", "recipe: picodet_s_416_coco"))
    with pytest.raises(TrainingError, match=message) as raised:
        resolve(path)
    assert str(raised.value).startswith(path)


def test_neither_a_name_nor_a_file(tmp_path):
    with pytest.raises(TrainingError, match=r"or a file\. Did you mean picodet_s_416_coco"):
        resolve("picodet_s_416_coc")
    with pytest.raises(TrainingError, match="not a recipe's name or a file"):
        resolve(str(tmp_path))


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TrainingError, match=r"mine\.yml"):
        resolve(str(path))


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3)
)


@pytest.mark.slow
@given(
    changes=st.dictionaries(
        st.sampled_from(("schedule", "ema", "epochs", "input_size", "augmentation", "x")),
        VALUES | st.dictionaries(st.sampled_from(("epochs", "sizes", "cycle")), VALUES),
    )
)
def test_any_content_is_a_recipe_or_an_error_of_ours(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "any.yml"
    content = {"recipe": "picodet_s_416_coco", **changes}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    try:
        resolved = resolve(str(path))
    except TrainingError:
        return
    assert resolved.sources.keys() == leaves(resolved.recipe).keys()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_recipes(path):
    assert resolve(str(path)).recipe != RECIPES[resolve(str(path)).recipe.model.name]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("retrain_s_416_ema_from_parameters", {"schedule.per", "ema.start"}),
        ("retrain_s_416_ema_from_zero", {"schedule.per"}),
        ("retrain_m_416", {"schedule.per"}),
    ],
)
def test_what_earlier_retrainings_changed(name, changed):
    (path,) = (path for path in EXAMPLES if path.stem == name)
    resolved = resolve(str(path))
    assert resolved.changed == changed
    assert resolved.recipe.schedule.per == "epoch"


def test_fine_tuning_warms_up_in_a_small_part_of_its_steps():
    (path,) = (path for path in EXAMPLES if path.stem == "fine_tune")
    recipe = resolve(str(path)).recipe
    assert recipe.schedule.warmup_steps == 0
    assert recipe.schedule.warmup_epochs / recipe.schedule.epochs == pytest.approx(2 / 20)
    assert recipe.ema.cycle is None
    proportional = S.schedule.base_lr * recipe.batches.total / S.batches.total
    assert recipe.schedule.base_lr == proportional
