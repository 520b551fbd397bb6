import json
import os

import pytest

from picodet.errors import OutputError
from picodet.files import (
    check_apart,
    check_new_folder,
    check_writable,
    replacing,
    replacing_folder,
    sha256,
    write_json,
)


def test_appears_whole(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_or_not_at_all(tmp_path):
    path = tmp_path / "out"

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_of_ours(tmp_path):
    with pytest.raises(OutputError, match="No space left"), replacing(tmp_path / "out"):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("name", "message"),
    [("there", "--overwrite"), ("", "is a directory"), ("no/where", "there is no directory")],
)
def test_is_checked_before_any_work(tmp_path, name, message):
    (tmp_path / "there").touch()
    with pytest.raises(OutputError, match=message):
        check_writable(tmp_path / name, overwrite=False)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OutputError, match="--overwrite"):
        check_writable(tmp_path / "link", overwrite=False)
    with replacing(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_long_name_is_no_reason_to_fail(tmp_path):
    with replacing(tmp_path / ("n" * 250)) as temporary:
        temporary.touch()


def test_an_output_is_no_input(tmp_path):
    check_apart(tmp_path / "a", [tmp_path / "b"])
    with pytest.raises(OutputError, match="name another file"):
        check_apart(tmp_path / "a", [tmp_path / "b", tmp_path / "c" / ".." / "a"])


def test_json_takes_any_text(tmp_path):
    write_json(tmp_path / "x.json", "caf\udce9")
    assert json.loads((tmp_path / "x.json").read_text()) == "caf\udce9"


def test_may_be_overwritten(tmp_path):
    (tmp_path / "there").touch()
    check_writable(tmp_path / "there", overwrite=True)


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x").startswith("ba7816bf8f01cfea")


class TestFolder:
    def test_appears_whole(self, tmp_path):
        with replacing_folder(tmp_path / "out") as temporary:
            (temporary / "a").write_text("new")
            assert not (tmp_path / "out").exists()
        assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]

    def test_or_not_at_all(self, tmp_path):
        def write_half():
            with replacing_folder(tmp_path / "out") as temporary:
                (temporary / "a").write_text("half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_half()
        assert not list(tmp_path.iterdir())

    def test_of_one_that_is_there_what_else_it_holds_stays(self, tmp_path):
        for name in "ab":
            (tmp_path / name).write_text("old")
        with replacing_folder(tmp_path) as temporary:
            (temporary / "a").write_text("new")
            assert (tmp_path / "a").read_text() == "old"
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
            "a": "new",
            "b": "old",
        }

    def test_a_full_disk_is_an_error_of_ours(self, tmp_path):
        with (
            pytest.raises(OutputError, match="out: cannot be written: No space left"),
            replacing_folder(tmp_path / "out"),
        ):
            raise OSError(28, "No space left on device")
        assert not list(tmp_path.iterdir())

    def test_where_there_is_no_room_for_one(self, tmp_path):
        with (
            pytest.raises(OutputError, match="no/out: cannot be written: No such file"),
            replacing_folder(tmp_path / "no" / "out"),
        ):
            pass

    def test_may_be_new_or_empty(self, tmp_path):
        check_new_folder(tmp_path, overwrite=False)
        check_new_folder(tmp_path / "new", overwrite=False)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("file", "is a file; name a folder"),
            ("", "holds files already; --overwrite replaces those that are written"),
            ("no/where", "no cannot be written to"),
        ],
    )
    def test_is_checked_before_any_work(self, tmp_path, name, message):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match=message):
            check_new_folder(tmp_path / name, overwrite=False)

    def test_may_be_overwritten(self, tmp_path):
        (tmp_path / "file").touch()
        check_new_folder(tmp_path, overwrite=True)
        with pytest.raises(OutputError, match="is a file"):
            check_new_folder(tmp_path / "file", overwrite=True)


def test_what_a_library_keeps_to_itself_everybody_may_read(tmp_path):
    before = os.umask(0o022)
    try:
        with replacing(tmp_path / "out") as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT, 0o600))
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o644
