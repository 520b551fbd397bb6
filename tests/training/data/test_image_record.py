"""Checksums of a training's images, and changed images."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from picodet.distributed import SingleProcess
from picodet.errors import TrainingError
from picodet.training.data import image_record

NOTHING = np.empty((0, image_record.COLUMNS), np.int64)


@pytest.fixture
def paths(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(5):
        (folder / f"{i}.jpg").write_bytes(b"%d" % i * (i + 1))
    return [folder / f"{i}.jpg" for i in range(5)]


def ignore(done, total):
    pass


class Neighbour:
    """One of two processes, which are threads."""

    size = 2

    def __init__(self, rank, parts, barrier):
        self.rank, self.parts, self.barrier = rank, parts, barrier

    def check(self):
        pass

    def gather(self, rows):
        self.parts[self.rank] = rows
        self.barrier.wait()
        return list(self.parts)


def scan(paths, known=NOTHING, ranks=None, progress=ignore):
    return image_record.scan(paths, known, ranks or SingleProcess(), progress)


def test_sizes_and_checksums(paths):
    calls = []
    rows = scan(paths, progress=lambda *done: calls.append(done))
    assert rows[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert calls == [(i, 5) for i in range(1, 6)]
    paths[2].unlink()
    assert scan(paths)[2, :2].tolist() == [-1, 0]


def test_a_copy_has_the_same_digest_and_a_change_another(paths, tmp_path):
    rows = scan(paths)
    shutil.copytree(paths[0].parent, tmp_path / "copy", copy_function=shutil.copyfile)
    copy = [tmp_path / "copy" / path.name for path in paths]
    assert not np.array_equal(scan(copy), rows)  # other times
    assert image_record.digest(scan(copy)) == image_record.digest(rows)
    copy[3].write_bytes(b"4444")
    assert image_record.digest(scan(copy)) != image_record.digest(rows)


def test_what_has_the_same_times_is_not_read_again(paths, monkeypatch):
    rows = scan(paths)
    read = []
    monkeypatch.setattr(image_record, "image_checksum", lambda path: read.append(path) or (7, 7))
    assert np.array_equal(scan(paths, rows), rows)
    assert not read
    os.utime(paths[1], ns=(1, 1))
    assert scan(paths, rows)[:, 0].tolist() == [1, 7, 3, 4, 5]
    assert read == [paths[1]]
    scan(paths, rows[:4])  # a list of others
    assert len(read) == 6


def test_several_processes_share_the_reading(paths):
    parts, barrier = [None, None], threading.Barrier(2, timeout=60)
    both = [Neighbour(rank, parts, barrier) for rank in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda ranks: scan(paths, ranks=ranks), both))
    assert all(0 < len(part) < 5 for part in parts)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], scan(paths))


def test_a_list_is_read_as_it_was_written_and_a_damaged_one_is_none(paths, tmp_path):
    rows = scan(paths)
    image_record.write(tmp_path, train=rows, val=NOTHING)
    assert np.array_equal(image_record.read(tmp_path, "train"), rows)
    assert not len(image_record.read(tmp_path, "val"))
    file = tmp_path / image_record.FILE
    whole = file.read_text()
    for content in (whole[:-9], "", "[]", '{"train": [[1, 2]]}', '{"train": [[1e99]]}', "9" * 99):
        file.write_text(content)
        assert image_record.read(tmp_path, "train").shape == NOTHING.shape
    file.unlink()
    assert image_record.read(tmp_path, "train").shape == NOTHING.shape


def refused(paths, before, now):
    with pytest.raises(TrainingError) as raised:
        image_record.refuse_others(paths, before, now, paths[0].parent / "9", "train on")
    return str(raised.value)


def test_the_first_that_is_another_is_named(paths):
    before = scan(paths)
    paths[1].write_bytes(b"12")
    paths[3].unlink()
    text = refused(paths, before, scan(paths))
    assert text.startswith(f"{paths[1]}: changed since the training of ")
    assert "it had 2 bytes with checksum " in text
    assert ", and so did 1 more of 5 images to train on. Restore" in text
    text = refused(paths[3:], before[3:], scan(paths[3:]))
    assert "3.jpg: changed since" in text
    assert "it cannot be read, of 2 images" in text
    assert "the 5 images to train on differ" in refused(paths, NOTHING, scan(paths))
