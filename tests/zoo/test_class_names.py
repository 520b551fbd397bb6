import pytest

from picodet.errors import PicoDetError
from picodet.zoo.class_names import (
    CDLA,
    COCO,
    PUBLAYNET,
    VOC,
    class_names_in_metadata,
    read_class_names,
)


def test_the_official_lists():
    assert (len(COCO), COCO[0], COCO[56], COCO[79]) == (80, "person", "chair", "toothbrush")
    assert (len(VOC), VOC[0], VOC[19]) == (20, "aeroplane", "tvmonitor")
    assert (len(CDLA), CDLA[3], len(PUBLAYNET)) == (10, "figure_caption", 5)


def test_one_name_per_line(tmp_path):
    (tmp_path / "names").write_text("\ufefftraffic light\r\nŽába \n\n")
    assert read_class_names(tmp_path / "names") == ("traffic light", "Žába")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "one class name"),
        (b"a\n\nb\n", "empty or repeated"),
        (b"a\na\n", "empty or repeated"),
        (b"\xff", "UTF-8"),
    ],
)
def test_other_files_are_errors(tmp_path, content, message):
    (tmp_path / "names").write_bytes(content)
    with pytest.raises(PicoDetError, match=message):
        read_class_names(tmp_path / "names")


@pytest.mark.parametrize(
    ("text", "names"),
    [(None, None), ("", None), ("\n", None), ("cat\ndog\n", ("cat", "dog")), ("ä", ("ä",))],
)
def test_names_in_an_onnx_are_a_line_each(text, names):
    assert class_names_in_metadata({} if text is None else {"character": text}) == names
