import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import EPOCHS, STEPS, FakeLoader, batch, recipe, resumed, training

from picodet.distributed import SingleProcess
from picodet.errors import ImageError, OutputError, ProcessesError, TrainingError
from picodet.formats import safetensors_writer
from picodet.models.checkpoint import load_with_meta
from picodet.training import checkpoint as checkpoints
from picodet.training import logger, trainer
from picodet.training.checkpoint import Best, Progress
from picodet.training.ema import ModelEMA
from picodet.training.nan_report import NotFiniteError
from picodet.training.recipes.lr_schedule import learning_rates
from picodet.training.recipes.schema import EMAConfig
from picodet.training.trainer import InterruptedTrainingError, Interruption


class KilledError(BaseException):
    """As if the process were gone."""


def everything(folder):
    """All bits that a training leaves: the last state, and the weights that it yields."""
    checkpoint = checkpoints.load(checkpoints.newest(folder / checkpoints.FOLDER))
    files = {path.name: load_with_meta(path)[0].state_dict() for path in folder.glob("*.pth")}
    return checkpoint, files


def assert_same(first, second):
    (checkpoint, files), (other, other_files) = first, second
    assert (checkpoint.progress, checkpoint.numbers) == (other.progress, other.numbers)
    for part in checkpoints.PARTS:
        assert checkpoint.tensors[part].keys() == other.tensors[part].keys()
        for name, tensor in checkpoint.tensors[part].items():
            assert torch.equal(tensor, other.tensors[part][name]), (part, name)
    assert files.keys() == other_files.keys()
    for file, weights in files.items():
        assert all(torch.equal(x, other_files[file][name]) for name, x in weights.items())


def rising(weights):
    """An evaluation that depends on every weight."""
    return {"AP": float(sum(tensor.double().sum() for tensor in weights.values()))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    outcome = training(folder, validate=rising).run()
    return folder, outcome


@pytest.mark.slow
def test_it_goes_to_the_end(whole):
    folder, outcome = whole
    assert (outcome.epochs, outcome.iterations) == (EPOCHS, EPOCHS * STEPS)
    names = ["last_ema.pth", "last_raw.pth", "best_ema.pth", "best_raw.pth"]
    assert [path.name for path in outcome.files] == names
    model, meta = load_with_meta(folder / "last_ema.pth")
    assert (meta["weights"], meta["epoch"], model.config.classes) == ("ema", 2, ("a", "b", "c"))
    checkpoint = checkpoints.load(checkpoints.newest(folder / checkpoints.FOLDER))
    raw = load_with_meta(folder / "last_raw.pth")[0].state_dict()
    assert all(torch.equal(raw[name], x) for name, x in checkpoint.tensors["model"].items())
    since_best = EPOCHS - outcome.best.epoch  # each epoch is evaluated
    expected = Progress(EPOCHS, 0, EPOCHS * STEPS, outcome.best, since_best)
    assert checkpoint.progress == expected


@pytest.mark.slow
@pytest.mark.parametrize("at", [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)])
def test_killed_anywhere_it_resumes_to_the_same_bits(whole, tmp_path, at):
    with pytest.raises(KilledError):
        training(tmp_path, FakeLoader(KilledError(), at), rising).run()
    newest = checkpoints.newest(tmp_path / checkpoints.FOLDER)
    again = resumed(tmp_path, validate=rising) if newest else training(tmp_path, validate=rising)
    again.run()
    assert_same(everything(tmp_path), everything(whole[0]))
    texts = [(folder / logger.FILE).read_text().splitlines() for folder in (tmp_path, whole[0])]
    rows = [[json.loads(line) for line in text] for text in texts]
    logs = [[(row["event"], row["iteration"], row.get("AP")) for row in each] for each in rows]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_killed_while_it_evaluates(whole, tmp_path):
    def killed(weights):
        raise KilledError

    with pytest.raises(KilledError):
        training(tmp_path, validate=killed).run()
    progress = checkpoints.load(checkpoints.newest(tmp_path / checkpoints.FOLDER)).progress
    assert progress == Progress(0, STEPS, STEPS)  # no step is repeated
    resumed(tmp_path, validate=rising).run()
    assert_same(everything(tmp_path), everything(whole[0]))


class FakeInterruption(Interruption):
    """As if a signal had come; tests/training/test_interruption.py has real ones."""

    def __enter__(self):
        FakeInterruption.latest = self
        return self


@pytest.mark.slow
def test_a_signal_ends_it_after_the_step(whole, tmp_path, monkeypatch):
    def interrupt(log):
        FakeInterruption.latest.requested = log.progress.iteration == 4

    monkeypatch.setattr(trainer, "Interruption", FakeInterruption)
    with pytest.raises(InterruptedTrainingError, match="after step 2 of epoch 2"):
        training(tmp_path, validate=rising, show=interrupt).run()
    assert (
        checkpoints.load(checkpoints.newest(tmp_path / checkpoints.FOLDER)).progress.iteration == 5
    )
    resumed(tmp_path, validate=rising).run()
    assert_same(everything(tmp_path), everything(whole[0]))


@pytest.mark.slow
def test_a_bad_image_loses_nothing(whole, tmp_path):
    trouble = ImageError("7.png: not an image")
    with pytest.raises(ImageError, match=r"7\.png"):
        training(tmp_path, FakeLoader(trouble, (1, 2)), rising).run()
    assert (
        checkpoints.load(checkpoints.newest(tmp_path / checkpoints.FOLDER)).progress.iteration == 5
    )
    resumed(tmp_path, validate=rising).run()
    assert_same(everything(tmp_path), everything(whole[0]))


@pytest.mark.slow
def test_a_disk_that_weights_do_not_fit_on_loses_nothing(whole, tmp_path, monkeypatch):
    def full(path, weights, meta):
        raise OutputError(f"{path}: is the disk full?")

    monkeypatch.setattr(checkpoints, "save_weights", full)
    with pytest.raises(OutputError, match=r"last_ema\.pth: is the disk full"):
        training(tmp_path, validate=rising).run()
    monkeypatch.undo()
    assert (
        checkpoints.load(checkpoints.newest(tmp_path / checkpoints.FOLDER)).progress.iteration
        == STEPS
    )
    resumed(tmp_path, validate=rising).run()
    assert_same(everything(tmp_path), everything(whole[0]))
    lines = (tmp_path / logger.FILE).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["epoch"] for row in rows if row["event"] == logger.EVALUATION] == [1, 2]


def test_too_little_memory_is_reported(tmp_path):
    trouble = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nand more")
    message = r"iteration 1: out of memory \(CUDA out of memory.*a smaller --batch"
    with pytest.raises(TrainingError, match=message):
        training(tmp_path, FakeLoader(trouble, (0, 1))).run()


@pytest.mark.slow
def test_a_full_disk_loses_nothing(whole, tmp_path, monkeypatch):
    real = safetensors_writer.write

    def full(file, tensors, metadata):
        if json.loads(metadata[checkpoints.HEADER])["progress"]["iteration"] == 4:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        real(file, tensors, metadata)

    monkeypatch.setattr(safetensors_writer, "write", full)
    with pytest.raises(OutputError, match="No space left"):
        training(tmp_path, validate=rising).run()
    monkeypatch.undo()
    resumed(tmp_path, validate=rising).run()
    assert_same(everything(tmp_path), everything(whole[0]))


@pytest.mark.slow
def test_not_a_number_stops_before_the_update(tmp_path):
    def spoil(right):
        right.images[1, 2, 3, 4] = float("nan")
        return right

    spoiled = training(tmp_path, FakeLoader(at=(0, 1), changed=spoil))
    with pytest.raises(NotFiniteError, match=r"the images, 1 of .* batch: 10, 11\."):
        spoiled.run()
    after_one = training(tmp_path / "other", FakeLoader(KilledError(), (0, 1)))
    with pytest.raises(KilledError):
        after_one.run()
    for name, parameter in after_one.model.named_parameters():
        assert torch.equal(parameter, dict(spoiled.model.named_parameters())[name]), name


@pytest.mark.slow
def test_the_rate_is_that_of_the_iteration(tmp_path):
    logs = []
    training(tmp_path, show=logs.append).run()
    lr = learning_rates(recipe().schedule, STEPS)
    assert [each.lr for each in logs] == [lr(i) for i in range(EPOCHS * STEPS)]
    assert [each.progress.step for each in logs] == [1, 2, 3, 1, 2, 3]
    assert {each.images for each in logs} == {2}


def test_batches_that_make_a_step_are_averaged(tmp_path):
    """One step of three batches: the gradient is the mean of theirs."""
    one = training(tmp_path, accumulation_steps=3)
    assert one.steps == 1
    by_hand = training(tmp_path / "other")
    model = by_hand.model.train()
    recipe_ = one.options.recipe
    losses = trainer.criterion(
        recipe_.assignment, recipe_.losses, model.head.integral, lambda own: own, 1, 0
    )
    for step in range(3):
        each = batch(0, step)
        (losses(model(each.images), each.targets).total / 3).backward()
    by_hand.optimizer.step(one.lr_schedule(0))
    result = one.stepper(
        [batch(0, step) for step in range(3)], losses_of(one), 0, one.lr_schedule(0)
    )
    assert result.losses["total"] > 0
    for (name, ours), theirs in zip(one.model.named_parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def losses_of(one):
    recipe_ = one.options.recipe
    model = one.model.train()
    return trainer.criterion(
        recipe_.assignment, recipe_.losses, model.head.integral, lambda own: own, 1, 0
    )


class CountingEMA(ModelEMA):
    """Notes when it is applied."""

    applied: list[int]

    def snapshot(self):
        self.applied.append(self.steps)
        return super().snapshot()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("applied", "snapshots", "cycle", "expected"),
    [
        ("every epoch", 2, 1, [STEPS, STEPS]),  # begun again after each
        ("every epoch", 2, None, [STEPS, 2 * STEPS]),
        ("at snapshots", 2, 1, [2 * STEPS]),
        ("at snapshots", 1, 2, [STEPS, 2 * STEPS]),
    ],
)
def test_the_average_is_applied_as_its_semantics_say(
    tmp_path, monkeypatch, applied, snapshots, cycle, expected
):
    monkeypatch.setattr(trainer, "ModelEMA", CountingEMA)
    CountingEMA.applied = []
    ema = EMAConfig(applied=applied, cycle=cycle)
    changed = replace(recipe(ema=ema), snapshot_epochs=snapshots)
    training(tmp_path, recipe=changed, validate=rising).run()
    assert CountingEMA.applied == expected


@pytest.mark.slow
def test_the_best_is_kept(tmp_path):
    numbers = iter([0.5, 0.25])
    outcome = training(tmp_path, validate=lambda weights: {"AP": next(numbers)}).run()
    assert outcome.best == Best(0.5, 1)
    epochs = {path.name: load_with_meta(path)[1]["epoch"] for path in tmp_path.glob("*.pth")}
    assert epochs == {
        **{"best_ema.pth": 1, "best_raw.pth": 1},
        **{"last_ema.pth": 2, "last_raw.pth": 2},
    }


@pytest.mark.slow
def test_what_is_evaluated_is_the_average(tmp_path):
    seen = []

    def look(weights):
        seen.append({name: tensor.clone() for name, tensor in weights.items()})
        return {"AP": 0.0}

    training(tmp_path, validate=look).run()
    last = load_with_meta(tmp_path / "last_ema.pth")[0].state_dict()
    assert all(torch.equal(last[name], tensor) for name, tensor in seen[-1].items())
    raw = load_with_meta(tmp_path / "last_raw.pth")[0].state_dict()
    assert not np.array_equal(
        raw["neck.conv_t.convs.0.conv.weight"], last["neck.conv_t.convs.0.conv.weight"]
    )


def test_it_ends_when_what_the_processes_met_at_is_gone(tmp_path):
    """torchrun was killed, say: nothing else would end those that it had started."""
    found = training(tmp_path)
    logs = []

    class Gone(SingleProcess):
        def check(self):
            if logs:
                raise ProcessesError("the process that hosts the store has ended")

    found.ranks, found.show = Gone(), logs.append
    with pytest.raises(ProcessesError, match="has ended"):
        found.run()
    assert len(logs) == 1


def falling(count):
    """The best AP is the first, 0.5 .. The count of calls, and the function."""
    calls = []

    def validate(weights):
        calls.append(0.5 - 0.125 * len(calls) + count)
        return {"AP": calls[-1]}

    return calls, validate


@pytest.mark.slow
def test_it_stops_when_the_ap_does_not_get_better(tmp_path):
    longer = replace(recipe(), schedule=replace(recipe().schedule, epochs=9, decay_epochs=9))
    calls, validate = falling(0)
    outcome = training(tmp_path, validate=validate, patience=2, recipe=longer).run()
    assert (calls, outcome.epochs) == ([0.5, 0.375, 0.25], 3)
    assert outcome.best == Best(0.5, 1)
    (note,) = [note for note in outcome.notes if "stopped" in note]
    assert note.startswith(
        "stopped after epoch 3 of 9: 2 evaluations gave no better AP than the AP 0.50000 of epoch 1"
    )
    assert load_with_meta(tmp_path / "last_ema.pth")[1]["epoch"] == 3
    again = resumed(tmp_path, validate=validate, patience=2, recipe=longer).run()
    assert (len(calls), again.epochs) == (3, 3)
    # a greater patience counts on, and a better AP begins anew
    better, validate = falling(1)
    more = resumed(tmp_path, validate=validate, patience=3, recipe=longer).run()
    assert (len(better), more.epochs, more.best) == (4, 7, Best(1.5, 4))


@pytest.mark.slow
def test_at_its_end_it_has_not_stopped_early(tmp_path):
    _, validate = falling(0)
    outcome = training(tmp_path, validate=validate, patience=1).run()
    assert (outcome.epochs, [note for note in outcome.notes if "stopped" in note]) == (EPOCHS, [])


@pytest.mark.slow
def test_without_an_interval_it_never_evaluates(tmp_path):
    calls, validate = falling(0)
    outcome = training(tmp_path, validate=validate, evaluate_every=0).run()
    assert (calls, outcome.best, outcome.epochs) == ([], None, EPOCHS)
    assert [path.name for path in outcome.files] == ["last_ema.pth", "last_raw.pth"]
