import json
from dataclasses import asdict, replace

import pytest
import torch
from small_training import EPOCHS, STEPS, recipe, resumed, training

from picodet.errors import TrainingError
from picodet.training import checkpoint as checkpoints
from picodet.training import resume
from picodet.training.checkpoint import Progress
from picodet.training.recipes.lr_schedule import learning_rates

BEFORE = {
    "picodet": "0.1.0",
    "recipe": {
        "model": {"name": "picodet_s", "classes": ["a", "b"], "input_size": [320, 320]},
        "schedule": {"base_lr": 0.4, "epochs": 300},
        "batches": {"per_gpu": 80, "gpus": 4},
        "backbone_weights": "https://a/b.pdparams",
    },
    "resized by": {"cubic uint8": "1f", "kernels": "native"},
    "batch_size": 80,
    "accumulation_steps": 1,
    "processes": 4,
    "steps_per_epoch": 366,
    "seed": 0,
    "device": "cuda",
    "amp": False,
    "workers": 2,
    "evaluate_every": 10,
    "annotations": "aa",
    "val_annotations": "bb",
    "paths": {"images": "/a"},
    "pretrained": "x.pdparams",
    "head": "reuse",
    "images": {"train": "cc"},
}


def changed(path, value):
    """The settings with one of them changed, by its dotted name."""
    found = json.loads(json.dumps(BEFORE))
    *parts, name = path.split("/")
    part = found
    for each in parts:
        part = part[each]
    part[name] = value
    return found


def test_without_a_change_there_is_no_note(tmp_path):
    now = {**BEFORE, "recipe": {**BEFORE["recipe"], "backbone_weights": None}}
    now["recipe"]["model"] = {**BEFORE["recipe"]["model"], "input_size": (320, 320)}
    assert resume.compare_settings(tmp_path, BEFORE, now) == []


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("recipe/model/classes", ["a"], "recipe.model.classes was ['a', 'b'], is ['a']. "),
        ("recipe/model/name", "picodet_m", "recipe.model.name was 'picodet_s', is 'picodet_m'. "),
        ("annotations", "bb", "annotations was 'aa', is 'bb'. "),
        ("val_annotations", "aa", "val_annotations was 'bb', is 'aa'. "),
        ("seed", 1, "seed was 0, is 1. "),
        ("picodet", "0.2.0", "picodet was '0.1.0', is '0.2.0'. "),
        ("recipe/ema", 7, "recipe.ema was None, is 7. "),
    ],
)
def test_what_must_be_the_same(tmp_path, path, value, text):
    with pytest.raises(TrainingError) as error:
        resume.compare_settings(tmp_path, BEFORE, changed(path, value))
    begin = f"{tmp_path}: other settings than the training began with: "
    assert str(error.value).startswith(begin + text)
    assert "start a new training in another --out" in str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "text", "exact"),
    [
        ("recipe/schedule/base_lr", 0.1, "recipe.schedule.base_lr was 0.4, is 0.1", True),
        ("recipe/schedule/epochs", 100, "recipe.schedule.epochs was 300, is 100", True),
        ("evaluate_every", 0, "evaluate_every was 10, is 0", True),
        ("workers", 8, "workers was 2, is 8", True),
        ("paths/images", "/b", "paths.images was '/a', is '/b'", True),
        ("device", "cpu", "device was 'cuda', is 'cpu'", False),
        ("amp", True, "amp was False, is True", False),
        ("picodet", "0.1.7", "picodet was '0.1.0', is '0.1.7'", False),
        ("processes", 2, "processes was 4, is 2", False),
        ("batch_size", 40, "batch_size was 80, is 40", False),
    ],
)
def test_what_may_change_is_said(tmp_path, path, value, text, exact):
    notes = resume.compare_settings(tmp_path, BEFORE, changed(path, value))
    assert notes[0] == f"changed since {tmp_path}: {text}"
    bits = "the result will not be bit for bit that of a training without a break: "
    assert [note.startswith(bits + path) for note in notes[1:]] == [True] * (not exact)
    batches = path in ("processes", "batch_size")
    assert any("batches are made up otherwise" in note for note in notes) == batches


def test_how_it_began_is_nothing_that_a_later_run_needs(tmp_path):
    for path, value in (("pretrained", "None"), ("head", "reset")):
        now = changed(path, value)
        assert resume.compare_settings(tmp_path, BEFORE, now) == []
        assert resume.kept_settings(BEFORE, now) == BEFORE


def test_an_evaluation_may_begin_or_end_but_not_be_of_other_images(tmp_path):
    now = changed("val_annotations", None)
    assert resume.compare_settings(tmp_path, BEFORE, now) == []
    assert resume.kept_settings(BEFORE, now)["val_annotations"] == "bb"
    assert resume.compare_settings(tmp_path, now, BEFORE) == []


def test_its_place_in_the_epoch_is_the_same_share():
    before, now = {"steps_per_epoch": 20}, {"steps_per_epoch": 10}
    at = Progress(epoch=3, step=11, iteration=71)
    assert resume.progress_of(at, before, now) == replace(at, step=5)
    assert resume.progress_of(at, before, before) == at
    assert resume.progress_of(replace(at, step=20), before, now) == replace(at, step=10)
    with pytest.raises(TrainingError, match="states '20' steps per epoch"):
        resume.progress_of(at, {"steps_per_epoch": "20"}, now)


def test_where_nothing_is_it_names_what_lies_beside(tmp_path):
    assert "Beside" not in str(resume.nothing_to_resume(tmp_path / "rums"))
    for name in ("runs", "other"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    (tmp_path / "runs/checkpoints/000000004.safetensors").touch()
    text = str(resume.nothing_to_resume(tmp_path / "rums"))
    assert f"rums: nothing to resume: found no checkpoint in {tmp_path}/rums/checkpoints" in text
    assert "Beside it there are trainings in runs. Correct --out" in text


def with_schedule(**changes):
    official = recipe()
    return replace(official, schedule=replace(official.schedule, **changes))


CHANGES = [{"base_lr": 0.003}, {"epochs": 3, "decay_epochs": 3}]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES, ids="_".join)
@pytest.mark.parametrize("at", [2, STEPS], ids=["within", "between"])
def test_a_change_gives_the_bits_of_a_run_that_changes_there(tmp_path, at, change):
    """The second run is not interrupted: its rates change while it runs."""
    new = with_schedule(**change)

    class StoppedError(BaseException):
        pass

    def stop(log):
        if log.progress.iteration == at + 1:
            raise StoppedError

    with pytest.raises(StoppedError):
        training(tmp_path / "a", show=stop, save_steps=1).run()
    first = resumed(tmp_path / "a", recipe=new)
    assert first.progress.iteration == at
    first.run()

    def switch(log):
        if log.progress.iteration == at:
            second.lr_schedule = learning_rates(new.schedule, STEPS)
            second.options = replace(second.options, recipe=new)

    second = training(tmp_path / "b", show=switch)
    second.run()
    assert second.progress.iteration == change.get("epochs", EPOCHS) * STEPS
    found, expected = (
        checkpoints.load(checkpoints.newest(tmp_path / name / checkpoints.FOLDER)) for name in "ab"
    )
    assert found.progress == expected.progress
    for part in checkpoints.PARTS:
        for name, tensor in found.tensors[part].items():
            assert torch.equal(tensor, expected.tensors[part][name]), (part, name)
    unchanged = training(tmp_path / "c")
    unchanged.run()
    assert any(
        not torch.equal(tensor, found.tensors["model"][name])
        for name, tensor in unchanged.model.state_dict().items()
    )


def test_the_rate_follows_from_the_place_in_the_epochs(tmp_path):
    """Not from the number of steps that were taken: there were fewer in the epochs before."""
    logs = []
    found = training(tmp_path, show=logs.append)
    found.progress = Progress(epoch=1, step=1, iteration=2)
    found.run()
    lr = learning_rates(with_schedule().schedule, STEPS)
    assert [log.lr for log in logs] == [lr(STEPS + 1), lr(STEPS + 2)]
    assert found.progress.iteration == 4


def test_a_recipe_is_compared_as_a_file_has_it(tmp_path):
    now = {**BEFORE, "recipe": asdict(recipe())}
    before = json.loads(json.dumps(now))
    assert resume.compare_settings(tmp_path, before, now) == []
