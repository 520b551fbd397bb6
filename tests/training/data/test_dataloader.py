"""Batches from worker processes: the same, in order; and errors of workers."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import drawn_coco
import pytest
import torch
from gated_image import PATIENCE

from picodet.config import Preprocessing
from picodet.errors import ImageError, TrainingError
from picodet.training.data.dataloader import Loader
from picodet.training.data.dataset import read_dataset
from picodet.training.recipes.schema import Augmentation

ALL = Augmentation(sizes=((64, 64), (96, 64)))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = drawn_coco.write_dataset(tmp_path_factory.mktemp("coco"), 26)
    return read_dataset(drawn_coco.annotation_file(folder), folder / "val2017")


def load(dataset, workers):
    return Loader(dataset, ALL, Preprocessing(), 4, seed=3, workers=workers)


def bits(batch):
    return batch.image_ids, batch.images.numpy().tobytes(), batch.targets.boxes.numpy().tobytes()


@pytest.mark.slow
def test_workers_change_nothing(dataset):
    state = torch.get_rng_state()
    expected = [list(map(bits, load(dataset, 0).epoch(epoch))) for epoch in range(2)]
    assert len(expected[0]) == load(dataset, 0).steps_per_epoch == 6
    loader = load(dataset, 2)
    assert [list(map(bits, loader.epoch(epoch))) for epoch in range(2)] == expected
    assert list(map(bits, loader.epoch(1, start=4))) == expected[1][4:]
    abandoned = loader.epoch(0)
    assert bits(next(abandoned)) == expected[0][0]
    assert list(map(bits, loader.epoch(1))) == expected[1]  # and not what was read ahead before
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
def test_batches_that_are_kept_stay_what_they_are(dataset):
    """Workers reuse their slots."""
    expected = [bits(batch) for batch in load(dataset, 0).epoch(0)]
    kept = []
    for batch in load(dataset, 1).epoch(0):
        kept.append(batch)
        time.sleep(0.1)  # the worker gets as far ahead as it may
    assert [bits(batch) for batch in kept] == expected


def test_too_little_shared_memory(dataset, monkeypatch):
    def full(tensor):
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    # 2 workers, 3 places, 4 images of 3 x 96 x 64 numbers of 4 bytes: 1.8 MB
    with pytest.raises(TrainingError, match=r"2 workers need 0\.0 GB .*No space left"):
        load(dataset, 2)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_raises_image_error(dataset, tmp_path, workers):
    bad = int(load(dataset, 0).reader.image_indices(0, 1)[0])
    for file in dataset.files:
        content = (dataset.folder / file).read_bytes()
        (tmp_path / file).write_bytes(b"" if file == dataset.files[bad] else content)
    batches = load(replace(dataset, folder=tmp_path), workers).epoch(0)
    next(batches)
    with pytest.raises(ImageError) as raised:
        next(batches)
    place, identity = tmp_path / dataset.files[bad], dataset.image_ids[bad]
    assert str(raised.value).startswith(f"{place}: an empty file")
    assert str(raised.value).endswith(f"(image {identity})")


@pytest.mark.slow
def test_a_worker_that_dies(dataset):
    loader = load(dataset, 1)
    batches = loader.epoch(0)
    next(batches)
    worker = loader._loader._iterator._workers[0]
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(PATIENCE)
    with pytest.raises(TrainingError, match=r"died in epoch 1: .*--workers"):
        list(batches)


@pytest.mark.slow
def test_without_a_forkserver_workers_are_started_anew(dataset, monkeypatch):
    """As on Windows; the batches are the same."""
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    monkeypatch.setattr("multiprocessing.context.ForkServerContext.Process", None)
    expected = [bits(batch) for batch in load(dataset, 0).epoch(0)]
    assert [bits(batch) for batch in load(dataset, 1).epoch(0)] == expected


@pytest.mark.slow
def test_workers_end_with_a_trainer_that_is_killed(dataset):
    """All of its processes hold the pipe that it prints to, which ends with the last of them."""
    script = """if True:
        import sys, time
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from tests.training.data import test_dataloader
        from picodet.training.data.dataset import read_dataset
        samples = read_dataset(Path(sys.argv[2]), Path(sys.argv[3]))
        batches = test_dataloader.load(samples, 2).epoch(0)
        next(batches)
        print("reading", flush=True)
        time.sleep(600)
    """
    paths = [Path(__file__).parent, dataset.folder.parent / "annotations/instances_val2017.json"]
    command = [sys.executable, "-c", script, *map(str, paths), str(dataset.folder)]
    path = os.pathsep.join([*sys.path, *map(str, paths[:1])])
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
    ) as trainer:
        assert trainer.stdout.readline() == b"reading\n"
        trainer.kill()
        trainer.communicate(timeout=PATIENCE)


@pytest.mark.slow
def test_ctrl_c_is_not_for_workers(dataset):
    loader = load(dataset, 1)
    batches = loader.epoch(0)
    first = next(batches)
    os.kill(loader._loader._iterator._workers[0].pid, signal.SIGINT)
    assert 1 + len(list(batches)) == loader.steps_per_epoch
    assert len(first.image_ids) == 4
