import pytest

from picodet.class_names import COCO, VOC, read_class_names
from picodet.errors import PicoDetError


def test_the_official_lists():
    assert (len(COCO), COCO[0], COCO[56], COCO[79]) == (80, "person", "chair", "toothbrush")
    assert (len(VOC), VOC[0], VOC[19]) == (20, "aeroplane", "tvmonitor")


def test_one_name_per_line(tmp_path):
    (tmp_path / "names").write_text("\ufefftraffic light\r\nŽába \n\n")
    assert read_class_names(tmp_path / "names") == ("traffic light", "Žába")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "one class name"),
        (b"a\n\nb\n", "none empty"),
        (b"a\na\n", "or twice"),
        (b"\xff", "UTF-8"),
    ],
)
def test_other_files_are_errors(tmp_path, content, message):
    (tmp_path / "names").write_bytes(content)
    with pytest.raises(PicoDetError, match=message):
        read_class_names(tmp_path / "names")
