import pytest

from picodet.errors import PicoDetError
from picodet.formats.settings.layout_settings import MAX_BYTES, read_layout_settings

KEYS = ("threshold", "layout_nms")


def test_only_the_given_keys_are_returned(tmp_path):
    file = tmp_path / "a.yml"
    file.write_text("model_name: PP-DocLayout-S\nlayout_nms: true\n")
    assert read_layout_settings(file, KEYS) == {"layout_nms": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("treshold: 1", "found the key 'treshold'; expected threshold, layout_nms"),
        ("- 1", "not settings of layouts: found list"),
        ("", "not settings of layouts: found NoneType"),
        ("threshold: 1\nthreshold: 2", "line 1: duplicate key"),
        ("threshold: {0: 1, 0: 2}", "duplicate key"),
        ("threshold: &a [1]\nlayout_nms: *a", "YAML aliases"),
        ("threshold: [[[[[1]]]]]", "nested deeper"),
        ("threshold: !!python/object/apply:os.system [ls]", "not settings of layouts"),
        ("threshold: {", "not settings of layouts"),
        ("threshold: \0", "not settings of layouts"),
        ("#" * (MAX_BYTES + 1), "more than 50,000 bytes"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    file = tmp_path / "a.yml"
    file.write_text(content)
    with pytest.raises(PicoDetError, match=message):
        read_layout_settings(file, KEYS)


def test_bytes_that_are_no_text_and_missing_files(tmp_path):
    file = tmp_path / "a.yml"
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(PicoDetError, match=r"a.yml: not settings of layouts"):
        read_layout_settings(file, KEYS)
    with pytest.raises(PicoDetError, match=r"b.yml: not settings of layouts"):
        read_layout_settings(tmp_path / "b.yml", KEYS)
