"""Tables of tar archives: as tarfile reads them, and everything that is refused."""

import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tar_files import archive, entry

from picodet.download import tar_reader
from picodet.download.tar_reader import Member, is_tar, read_members
from picodet.errors import CheckpointError

LONG = "a" * 60 + "/" + "b" * 90 + ".json"  # longer than the 100 bytes of a header's name


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.tar"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_are_found_where_tarfile_finds_them(file, form):
    folder = entry("M_infer/", kind=tarfile.DIRTYPE)
    file.write_bytes(
        archive(
            folder,
            entry("./M_infer/inference.json", b"{}"),
            entry("M_infer/inference.pdiparams", b"x" * 1300),
            entry("M_infer/._inference.json", b"of macOS"),
            entry("M_infer/.DS_Store", b"of macOS"),
            entry(LONG, b"long"),
            form=form,
        )
    )
    members = read_members(file)
    with tarfile.open(file) as tar:
        expected = [
            Member(info.name.removeprefix("./"), info.offset_data, info.size)
            for info in tar
            if info.isfile() and "/." not in info.name.removeprefix("./")
        ]
    assert members == expected
    assert [member.name for member in members][1:] == ["M_infer/inference.pdiparams", LONG]
    content = file.read_bytes()
    assert content[members[0].offset :][: members[0].size] == b"{}"


def test_a_comment_for_the_whole_archive_is_ignored(file):
    file.write_bytes(
        archive(entry("a", b"1"), form=tarfile.PAX_FORMAT, pax_headers={"comment": "0f" * 20})
    )
    assert [member.name for member in read_members(file)] == ["a"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry("/etc/passwd")], "the name '/etc/passwd'; expected one inside a folder"),
        ([entry("../a")], r"the name '\.\./a'"),
        ([entry("a/../../b")], r"the name 'a/\.\./\.\./b'"),
        ([entry("a//b")], "the name 'a//b'"),
        ([entry("C:\\a")], "expected one inside a folder"),
        ([entry("a\\..\\b")], "expected one inside a folder"),
        ([entry("a\nb")], "expected one inside a folder"),
        ([entry("a/\x1b[31m")], "expected one inside a folder"),
        ([entry("x" * 201)], "expected one inside a folder"),
        ([entry("a", kind=tarfile.SYMTYPE, linkname="/etc")], "a is a symbolic link; expected a f"),
        ([entry("a", kind=tarfile.LNKTYPE, linkname="b")], "a is a hard link"),
        ([entry("a", kind=tarfile.CHRTYPE)], "a is a device"),
        ([entry("a", kind=tarfile.BLKTYPE)], "a is a device"),
        ([entry("a", kind=tarfile.FIFOTYPE)], "a is a named pipe"),
        ([entry("a", kind=tarfile.GNUTYPE_SPARSE)], "a is a sparse file"),
        ([entry("a", kind=b"Q")], "a is something else"),
        ([entry("a", b"1"), entry("a", b"2")], "two of its files have the same name"),
        ([entry("a", b"1"), entry("A", b"2")], "two of its files have the same name"),
        ([entry("a", b"1"), entry("a/b", b"2")], "two of its files have the same name"),
        ([entry("a/", kind=tarfile.DIRTYPE)], "it holds no file"),
        ([], "it holds no file"),
        ([entry(str(i)) for i in range(101)], "more than 100 entries"),
        ([entry("a" * 20_000)], "an extended header of 20,"),
    ],
)
def test_what_could_leave_the_folder_or_is_no_file_is_refused(file, entries, message):
    file.write_bytes(archive(*entries))
    with pytest.raises(CheckpointError, match=message) as caught:
        read_members(file)
    assert "nothing was unpacked" in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"path": "../a"}, r"the name '\.\./a'"),
        ({"path": "/a"}, "the name '/a'"),
        ({"size": "5"}, "an extended header with size"),
        ({"linkpath": "x"}, "an extended header with linkpath"),
        ({"GNU.sparse.realsize": "9000000000"}, "an extended header with GNU.sparse.realsize"),
    ],
)
def test_extended_headers_that_change_a_file_are_refused(file, headers, message):
    info, content = entry("a", b"1")
    info.pax_headers = headers
    file.write_bytes(archive((info, content), form=tarfile.PAX_FORMAT))
    with pytest.raises(CheckpointError, match=message):
        read_members(file)


WHOLE = archive(entry("a/b", b"x" * 700), entry("c", b"y"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it holds no file"),
        (b"x" * 512, "the number"),
        (b"PK\3\4" + bytes(600), "the number"),
        (WHOLE[:700], "it is cut off"),
        (WHOLE[:1800], "it is cut off"),
        (WHOLE[:100], "it is cut off"),
        (b"b" + WHOLE[1:], "not a tar archive"),
        (WHOLE[:1536] + b"d" + WHOLE[1537:], "a header is damaged"),
        (WHOLE[:124] + b"\x80" + WHOLE[125:], "not a tar archive"),
    ],
)
def test_a_damaged_one_is_an_error(file, content, message):
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_members(file)


def test_it_is_bounded(file, monkeypatch):
    file.write_bytes(WHOLE)
    monkeypatch.setattr(tar_reader, "MAX_BYTES", len(WHOLE) - 1)
    with pytest.raises(CheckpointError, match=f"{len(WHOLE):,} bytes; expected at most"):
        read_members(file)


def test_a_folder_is_none(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        read_members(tmp_path)


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=20))
def test_any_damage_is_an_error_or_the_names_stay_inside(tmp_path_factory, at, written):
    file = tmp_path_factory.mktemp("tar") / "x.tar"
    file.write_bytes(WHOLE[:at] + written + WHOLE[at + len(written) :])
    try:
        members = read_members(file)
    except CheckpointError:
        return
    for member in members:
        assert not {"..", ""} & set(member.name.split("/"))
        assert member.offset + member.size <= file.stat().st_size


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.tar", WHOLE, True),
        ("a.TAR", WHOLE, True),
        ("a.pth", WHOLE, False),
        ("a.pth.tar", b"PK\3\4" + bytes(600), False),
        ("a.tar", b"", False),
    ],
)
def test_which_files_are_archives(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    assert is_tar(tmp_path / name) == expected
    assert not is_tar(tmp_path / f"missing_{name}")
