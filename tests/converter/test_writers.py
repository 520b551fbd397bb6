"""Which form an output has: its suffix says, and `--to` may only agree."""

import os
from pathlib import Path

import pytest
from small_models import V1, checkpoint_of

from picodet.converter.configure import ConvertOptions, FileHints
from picodet.converter.from_state_dict import from_state_dict
from picodet.converter.sources import Origin, StateDictSource
from picodet.converter.writers import check_output, output_format_of, weights_path, write
from picodet.errors import OutputError
from picodet.formats.meta import make_meta


@pytest.mark.parametrize(
    ("name", "to", "form"),
    [
        ("x.pth", None, "picodet"),
        ("x.safetensors", None, "picodet"),
        ("x.pdparams", None, "ppdet"),
        ("x", None, "huggingface"),
        ("x.pth", "picodet", "picodet"),
        ("x.pth", "mmdet", "mmdet"),
        ("x.pdparams", "ppdet", "ppdet"),
        ("x", "huggingface", "huggingface"),
    ],
)
def test_the_suffix_says_it(name, to, form):
    assert output_format_of(Path(name), to) == form


@pytest.mark.parametrize(
    ("name", "to", "message"),
    [
        ("x.onnx", None, r"the suffix must be one of \.pth, \.safetensors, \.pdparams, or none"),
        ("model.v2", None, "the suffix must be one of"),
        ("x.onnx", "picodet", "the suffix must be one of"),
        ("x.safetensors", "mmdet", r"x\.safetensors: --to mmdet needs \.pth"),
        ("x.pdparams", "mmdet", r"--to mmdet needs \.pth"),
        ("x.pdparams", "picodet", r"--to picodet needs \.pth"),
        ("x.pth", "ppdet", r"--to ppdet needs \.pdparams"),
        ("x.pth", "huggingface", "--to huggingface needs no suffix"),
        ("x", "ppdet", r"--to ppdet needs \.pdparams"),
    ],
)
def test_contradictions_are_errors(name, to, message):
    with pytest.raises(OutputError, match=message):
        output_format_of(Path(name), to)


def test_a_file_is_no_folder_and_a_folder_is_no_file(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(OutputError, match="is a file; name a folder"):
        check_output(tmp_path / "file", "huggingface", overwrite=True)
    with pytest.raises(OutputError, match="is a directory; name a file"):
        check_output(tmp_path / "folder.pth", "picodet", overwrite=True)
    check_output(tmp_path / "new", "huggingface", overwrite=False)


def test_where_the_weights_will_be():
    assert weights_path(Path("a/b"), "huggingface") == Path("a/b/model.safetensors")
    assert weights_path(Path("a/b.pth"), "mmdet") == Path("a/b.pth")


FORMS_WRITTEN = [
    ("x.pth", "picodet"),
    ("x.pth", "mmdet"),
    ("x.safetensors", "picodet"),
    ("x.pdparams", "ppdet"),
    ("x", "huggingface"),
]


@pytest.mark.parametrize(("name", "form"), FORMS_WRITTEN)
def test_written_twice_the_bytes_are_the_same_and_for_everybody_to_read(tmp_path, name, form):
    origin = Origin(Path("x.pdparams"), "test")
    source = StateDictSource(origin, "ppdet", checkpoint_of(V1), FileHints("x"))
    converted = from_state_dict(source, ConvertOptions(), allow_nonfinite=False)
    meta = make_meta(converted.config, "detector", "x", "0" * 64)
    before = os.umask(0o027)
    try:
        written = []
        for output in (tmp_path / name, tmp_path / f"another_{name}"):
            write(converted, output, form, meta)
            files = sorted(output.iterdir()) if output.is_dir() else [output]
            assert {file.stat().st_mode & 0o777 for file in files} == {0o640}
            written.append([file.read_bytes() for file in files])
    finally:
        os.umask(before)
    assert written[0] == written[1]


def full(*_args, **_options):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("name", "form", "broken"),
    [
        ("x.pth", "picodet", "torch.save"),
        ("x.pth", "mmdet", "torch.save"),
        ("x.safetensors", "picodet", "picodet.formats.safetensors_writer.write"),
        ("x.pdparams", "ppdet", "picodet.formats.pdparams_writer._array"),
        ("x", "huggingface", "picodet.formats.huggingface_folder.write_json"),
    ],
)
def test_what_breaks_off_leaves_nothing(tmp_path, monkeypatch, name, form, broken):
    origin = Origin(Path("x.pdparams"), "test")
    source = StateDictSource(origin, "ppdet", checkpoint_of(V1), FileHints("x"))
    converted = from_state_dict(source, ConvertOptions(), allow_nonfinite=False)
    monkeypatch.setattr(broken, full)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        write(
            converted, tmp_path / name, form, make_meta(converted.config, "detector", "x", "0" * 64)
        )
    assert not list(tmp_path.iterdir())
