import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from picodet.errors import OutputError
from picodet.files import (
    atomic_write,
    atomic_write_folder,
    check_distinct,
    check_folder,
    check_new_folder,
    check_writable,
    read_bytes,
    regular_file,
    sha256,
    unreadable_reason,
    write_json,
    write_text,
)


def test_appears_whole(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_or_not_at_all(tmp_path):
    path = tmp_path / "out"

    def write_half():
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_of_ours(tmp_path):
    with pytest.raises(OutputError, match="No space left"), atomic_write(tmp_path / "out"):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("name", "message"),
    [("there", "--overwrite"), ("", "is a directory"), ("no/where", "there is no folder")],
)
def test_is_checked_before_any_work(tmp_path, name, message):
    (tmp_path / "there").touch()
    with pytest.raises(OutputError, match=message):
        check_writable(tmp_path / name, overwrite=False)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OutputError, match="--overwrite"):
        check_writable(tmp_path / "link", overwrite=False)
    with atomic_write(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_long_name_is_no_reason_to_fail(tmp_path):
    with atomic_write(tmp_path / ("n" * 250)) as temporary:
        temporary.touch()


def test_an_output_is_no_input(tmp_path):
    check_distinct(tmp_path / "a", [tmp_path / "b"])
    with pytest.raises(OutputError, match="name another file"):
        check_distinct(tmp_path / "a", [tmp_path / "b", tmp_path / "c" / ".." / "a"])


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
        with atomic_write_folder(tmp_path / "out") as temporary:
            (temporary / "a").write_text("new")
            assert not (tmp_path / "out").exists()
        assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]

    def test_or_not_at_all(self, tmp_path):
        def write_half():
            with atomic_write_folder(tmp_path / "out") as temporary:
                (temporary / "a").write_text("half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_half()
        assert not list(tmp_path.iterdir())

    def test_of_one_that_is_there_what_else_it_holds_stays(self, tmp_path):
        for name in "ab":
            (tmp_path / name).write_text("old")
        with atomic_write_folder(tmp_path) as temporary:
            (temporary / "a").write_text("new")
            assert (tmp_path / "a").read_text() == "old"
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
            "a": "new",
            "b": "old",
        }

    def test_a_full_disk_is_an_error_of_ours(self, tmp_path):
        with (
            pytest.raises(OutputError, match="out: cannot be written: No space left"),
            atomic_write_folder(tmp_path / "out"),
        ):
            raise OSError(28, "No space left on device")
        assert not list(tmp_path.iterdir())

    def test_where_there_is_no_room_for_one(self, tmp_path):
        with (
            pytest.raises(OutputError, match="no/out: cannot be written: No such file"),
            atomic_write_folder(tmp_path / "no" / "out"),
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
            ("no/where", "there is no folder"),
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
        with atomic_write(tmp_path / "out") as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT, 0o600))
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o644


class TestWhatIsNoFile:
    """A device, pipe or socket as output: created here, never the machine's own."""

    @pytest.fixture
    def null(self, tmp_path):
        node = tmp_path / "null"
        try:
            os.mknod(node, 0o020666, os.makedev(1, 3))
            node.write_text("x")
        except PermissionError:
            pytest.skip("no devices can be made or used in the temporary folder")
        return node

    def test_a_device_stays_one(self, null):
        check_writable(null, overwrite=False)
        write_json(null, [1])
        assert null.is_char_device()
        (null.parent / "link").symlink_to(null)
        write_json(null.parent / "link", [1])
        assert null.is_char_device()
        assert sorted(path.name for path in null.parent.iterdir()) == ["link", "null"]

    def test_a_pipe_is_written_to(self, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        check_writable(pipe, overwrite=False)
        write_json(pipe, [1])
        assert os.read(reader, 100) == b"[\n 1\n]\n"
        os.close(reader)
        assert pipe.is_fifo()

    def test_nothing_half_goes_into_a_pipe(self, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

        def write_half():
            with atomic_write(pipe) as temporary:
                temporary.write_text("half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_half()
        assert os.read(reader, 100) == b""
        os.close(reader)

    def test_a_socket_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("socket")
            for write in (lambda: check_writable(Path("socket"), True), self.into_socket):
                with pytest.raises(OutputError, match="socket is a socket"):
                    write()
            assert Path("socket").is_socket()

    def into_socket(self):
        write_json(Path("socket"), [1])

    def test_a_block_device_is_refused(self, tmp_path):
        node = tmp_path / "disk"
        try:
            os.mknod(node, 0o060600, os.makedev(1, 250))
        except PermissionError:
            pytest.skip("no devices can be made here")
        with pytest.raises(OutputError, match="a block device"):
            check_writable(node, overwrite=True)

    def test_of_a_folder_it_stays_too(self, null):
        with atomic_write_folder(null.parent) as temporary:
            (temporary / "null").write_text("new")
        assert null.is_char_device()

    def test_a_file_that_standard_output_goes_to_is_not_replaced(self, tmp_path):
        code = (
            "from pathlib import Path\nfrom picodet.files import check_writable, write_json\n"
            "out = Path('/dev/stdout')\nprint('before')\n"
            "check_writable(out, False)\nwrite_json(out, [1])\nprint('after')"
        )
        with (tmp_path / "x").open("w") as file:
            subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
        assert (tmp_path / "x").read_text() == "before\n[\n 1\n]\nafter\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loop", "loop: cannot be written: Too many levels of symbolic links"),
        ("n" * 300, "n: cannot be written: File name too long"),
        ("nul\0", "not a valid file name"),
    ],
)
def test_a_name_that_cannot_be_is_refused(tmp_path, name, message):
    (tmp_path / "loop").symlink_to("loop")
    for check in (
        lambda path: check_writable(path, overwrite=True),
        lambda path: check_new_folder(path, overwrite=True),
        lambda path: write_json(path, 1),
    ):
        with pytest.raises(OutputError, match=message):
            check(tmp_path / name)


def test_an_error_of_another_file_is_not_laid_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out"):
        (tmp_path / "absent").read_bytes()


def test_a_folder_is_made_in_one_that_is_there(tmp_path):
    check_folder(tmp_path)
    check_folder(tmp_path / "new")
    with pytest.raises(OutputError, match=r"there is no folder .*a; create it first"):
        check_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file; name a folder"):
        check_folder(tmp_path / "file")


def test_hard_links_are_one_file(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    with pytest.raises(OutputError, match="name another file"):
        check_distinct(tmp_path / "a", [tmp_path / "b"])


def test_text_takes_any_name(tmp_path):
    write_text(tmp_path / "x.html", "caf\udce9 é")
    assert (tmp_path / "x.html").read_text("utf-8") == "caf\\udce9 é"


@pytest.mark.skipif(os.name == "nt", reason="Windows has none of them")
def test_what_kind_it_is_stands_in_the_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    assert unreadable_reason(tmp_path / "pipe") == "a named pipe; a regular file is expected"
    assert unreadable_reason(Path(os.devnull)) == "a device; a regular file is expected"
    assert unreadable_reason(tmp_path) == "Is a directory"
    assert unreadable_reason(tmp_path / "none") == "there is no such file"
    assert "symbolic links" in unreadable_reason(tmp_path / "loop")
    assert unreadable_reason(Path("a\0b")).startswith("not a valid file name")
    assert unreadable_reason(tmp_path / "file") is None
    assert regular_file(tmp_path / "file") == tmp_path / "file"


def test_no_more_is_read_than_the_limit(tmp_path):
    (tmp_path / "x").write_bytes(b"four")
    assert read_bytes(tmp_path / "x", 4) == b"four"
    with pytest.raises(OSError, match="more than 3 bytes"):
        read_bytes(tmp_path / "x", 3)
