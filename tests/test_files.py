import pytest

from picodet.errors import OutputError
from picodet.files import check_writable, replacing


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


def test_may_be_overwritten(tmp_path):
    (tmp_path / "there").touch()
    check_writable(tmp_path / "there", overwrite=True)
