"""Archives are unpacked once, whole or not at all, and checked whenever they are used."""

import shutil

import pytest
from tar_files import archive, entry

from picodet.download.unpack import unpack
from picodet.errors import CheckpointError, OutputError

FILES = {"inference.json": b"{}", "inference.pdiparams": b"\0" * 3_000_000}


def write(path, files=FILES, folder="PP-DocLayout-S_infer/"):
    path.write_bytes(archive(*(entry(folder + name, data) for name, data in files.items())))
    return path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.mark.parametrize("folder", ["PP-DocLayout-S_infer/", "./PP-DocLayout-S_infer/", "a/b/"])
def test_of_one_folder_it_is_that_folder(tmp_path, cache, folder):
    found = unpack(write(tmp_path / "x.tar", folder=folder), cache)
    assert found.name == folder.rstrip("/").split("/")[-1]
    assert contents(found) == FILES


def test_without_a_folder_it_has_the_name_of_the_archive(tmp_path, cache):
    found = unpack(write(tmp_path / "PicoDet-S_infer.tar", folder=""), cache)
    assert (found.name, contents(found)) == ("PicoDet-S_infer", FILES)


def test_only_content_is_taken(tmp_path, cache):
    (tmp_path / "x.tar").write_bytes(archive(entry("a", b"1", mode=0o7777, uid=0, mtime=0)))
    file = unpack(tmp_path / "x.tar", cache) / "a"
    assert file.stat().st_mode & 0o7111 == 0
    assert file.stat().st_mtime > 1e9


def test_it_is_written_once(tmp_path, cache):
    file = write(tmp_path / "x.tar")
    first = unpack(file, cache) / "inference.json"
    made = first.stat().st_mtime_ns, first.stat().st_ino
    assert unpack(file, cache) == first.parent
    assert (first.stat().st_mtime_ns, first.stat().st_ino) == made


def test_other_content_under_the_same_name_is_another_folder(tmp_path, cache):
    one = unpack(write(tmp_path / "x.tar"), cache)
    two = unpack(write(tmp_path / "x.tar", {"inference.json": b"[]"}), cache)
    assert (contents(one), contents(two)) == (FILES, {"inference.json": b"[]"})


def change(folder):
    (folder / "inference.json").write_bytes(b"[]")


def add(folder):
    (folder / "infer_cfg.yml").write_bytes(b"")


def remove(folder):
    (folder / "inference.json").unlink()


def link(folder):
    (folder / "inference.json").rename(folder.parents[3] / "elsewhere")
    (folder / "inference.json").symlink_to(folder.parents[3] / "elsewhere")


@pytest.mark.parametrize("damage", [change, add, remove, link])
def test_a_folder_that_was_changed_is_not_used(tmp_path, cache, damage):
    file = write(tmp_path / "x.tar")
    folder = unpack(file, cache)
    damage(folder)
    with pytest.raises(CheckpointError, match=r"no longer those of .*delete the folder"):
        unpack(file, cache)
    shutil.rmtree(folder.parent)
    assert contents(unpack(file, cache)) == FILES


def test_a_refused_one_writes_nothing(tmp_path, cache):
    (tmp_path / "x.tar").write_bytes(archive(entry("a", b"1"), entry("../b", b"2")))
    with pytest.raises(CheckpointError, match="nothing was unpacked"):
        unpack(tmp_path / "x.tar", cache)
    assert not cache.exists()
    assert not (tmp_path / "b").exists()


def test_an_interruption_leaves_nothing(tmp_path, cache, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        unpack(write(tmp_path / "x.tar"), cache)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_another_process_may_be_faster(tmp_path, cache, monkeypatch):
    file = write(tmp_path / "x.tar")
    finished = unpack(file, cache).parent
    shutil.move(finished, tmp_path / "finished")

    def other_process(number):
        if not finished.exists():
            shutil.copytree(tmp_path / "finished", finished)

    monkeypatch.setattr("os.fsync", other_process)
    assert contents(unpack(file, cache)) == FILES
    assert [path.name for path in finished.parent.iterdir()] == ["x"]


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(OutputError, match="set PICODET_CACHE=FOLDER"):
        unpack(write(tmp_path / "x.tar"), tmp_path / "cache")
