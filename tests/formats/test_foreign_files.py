"""Files of other programs are called by their name, by first bytes or by suffix."""

import pytest

from picodet.converter.readers import open_source
from picodet.errors import CheckpointError
from picodet.formats.foreign_files import foreign_format


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.rknn", b"RKNN\0\0\0\0", "an RKNN model"),
        ("renamed.pdparams", b"RKNN\0\0\0\0", "an RKNN model"),
        ("x.plan", b"", "a TensorRT engine"),
        ("x.pth", b"ftrt\0", "a TensorRT engine"),
        ("x.param", b"7767517\n3 3\n", "a model of ncnn"),
        ("x.txt", b"7767517\n3 3\n", "a model of ncnn"),
        ("x.bin", b"\x1c\0\0\0TFL3", "a TensorFlow Lite model"),
        ("x.nb", b"\0\0", "a model of Paddle-Lite"),
        ("x.MNN", b"\0\0", "a model of MNN"),
        ("x.xml", b"<net/>", "a model of OpenVINO"),
    ],
)
def test_each_is_named_and_refused(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        open_source(path)
    assert f"{name}: {expected}" in str(caught.value)
    assert "expected what it was made of: a .pdparams" in str(caught.value)


@pytest.mark.parametrize(("beside", "found"), [(".xml", "OpenVINO"), (".param", "ncnn")])
def test_weights_beside_their_network(tmp_path, beside, found):
    (tmp_path / "x.bin").write_bytes(b"\0\0\0\0")
    assert foreign_format(tmp_path / "x.bin") is None
    (tmp_path / "x").with_suffix(beside).touch()
    assert found in foreign_format(tmp_path / "x.bin")


def test_in_a_folder_without_anything_to_read(tmp_path):
    (tmp_path / "README").touch()
    (tmp_path / "x.nb").write_bytes(b"\0")
    with pytest.raises(CheckpointError, match=r"x\.nb: a model of Paddle-Lite"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["x.pdparams", "x.pth", "x.onnx"])
def test_what_picodet_reads_is_not_foreign(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x02")
    assert foreign_format(tmp_path / name) is None
