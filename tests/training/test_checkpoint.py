import json
from dataclasses import replace

import pytest
import torch

from picodet.errors import OutputError, TrainingError
from picodet.formats import safetensors_writer
from picodet.training import checkpoint as checkpoints
from picodet.training.checkpoint import Best, Checkpoint, Progress

CHECKPOINT = Checkpoint(
    progress=Progress(epoch=2, step=5, iteration=25, best=Best(0.25, 1), since_best=3),
    tensors={
        "model": {"backbone.x.weight": torch.tensor([0.1, -0.2]), "n": torch.tensor(7)},
        "momentum_buffers": {"backbone.x.weight": torch.tensor([1e-30, 2.0])},
        "ema": {"n": torch.tensor(7)},
    },
    numbers={"ema": {"updates": 25}, "scaler": {}},
    settings={"recipe": "picodet_s", "sizes": [[320, 320]], "seed": 0},
)


def at(iteration):
    return replace(CHECKPOINT, progress=replace(CHECKPOINT.progress, iteration=iteration))


def test_every_bit_comes_back(tmp_path):
    found = checkpoints.load(checkpoints.save(tmp_path, CHECKPOINT, keep=3))
    assert (found.progress, found.numbers, found.settings) == (
        CHECKPOINT.progress,
        CHECKPOINT.numbers,
        CHECKPOINT.settings,
    )
    for part in checkpoints.PARTS:
        assert found.tensors[part].keys() == CHECKPOINT.tensors[part].keys()
        for name, tensor in CHECKPOINT.tensors[part].items():
            assert found.tensors[part][name].dtype == tensor.dtype
            assert torch.equal(found.tensors[part][name], tensor)


def test_the_last_are_kept(tmp_path):
    for iteration in (999_999, 1_000_000, 5, 1_000_001):  # by number, not by time or as text
        checkpoints.save(tmp_path, at(iteration), keep=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["001000000.safetensors", "001000001.safetensors"]
    assert checkpoints.newest(tmp_path) == tmp_path / names[-1]


def test_without_a_state_there_is_no_newest(tmp_path):
    assert checkpoints.newest(tmp_path / "nowhere") is None


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    before = checkpoints.save(tmp_path, at(1), keep=1)

    def full(file, tensors, metadata):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors_writer, "write", full)
    with pytest.raises(OutputError, match=r"000000002\.safetensors: .*No space left"):
        checkpoints.save(tmp_path, at(2), keep=1)
    assert list(tmp_path.iterdir()) == [before]
    assert checkpoints.load(before).progress.iteration == 1


@pytest.mark.parametrize("where", ["tensor", "progress"])
def test_a_state_of_which_something_has_changed_is_refused(tmp_path, where):
    path = checkpoints.save(tmp_path, CHECKPOINT, keep=1)
    content = bytearray(path.read_bytes())
    place = len(content) - 3 if where == "tensor" else content.index(b"iteration") + 13
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"checksum of .* is wrong.*--resume uses the one be"):
        checkpoints.load(path)


@pytest.mark.parametrize(
    "progress",
    [
        {},
        {"epoch": "1", "step": 0, "iteration": 3, "best": None},
        {"epoch": -1, "step": 0, "iteration": 3, "best": None},
        {"epoch": 1, "step": 0.5, "iteration": 3, "best": None},
        {"epoch": 1, "step": 0, "iteration": True, "best": None},
        {"epoch": 1, "step": 0, "iteration": 3, "best": 7},
        {"epoch": 1, "step": 0, "iteration": 3, "best": None, "since_best": -1},
        {"epoch": 1, "step": 0, "iteration": 3, "best": {"ap": 0.5, "epoch": None}},
        7,
    ],
)
def test_a_state_that_stands_nowhere_is_refused(tmp_path, progress):
    header = json.dumps({"progress": progress, "numbers": {}, "settings": {}})
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        safetensors_writer.write(file, {}, {checkpoints.HEADER: header})
    with pytest.raises(TrainingError, match="not a training checkpoint"):
        checkpoints.load(path)


@pytest.mark.parametrize("cut", [0, 4, 200, -1])
def test_a_damaged_state_is_refused(tmp_path, cut):
    path = checkpoints.save(tmp_path, CHECKPOINT, keep=1)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(TrainingError, match=r"not a training checkpoint, or damaged"):
        checkpoints.load(path)


def test_another_safetensors_is_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(TrainingError, match="KeyError"):
        checkpoints.load(path)


def test_a_position_moves_on():
    later = Progress().next_step().next_step()
    assert later == Progress(epoch=0, step=2, iteration=2)
    assert later.next_epoch() == Progress(epoch=1, step=0, iteration=2)
