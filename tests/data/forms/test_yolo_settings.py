import pytest
from drawn_forms import write

from picodet.data.forms.yolo_settings import read_data_yaml
from picodet.errors import PicoDetError


@pytest.fixture
def made(tmp_path):
    def make(text, *folders):
        for folder in folders:
            (tmp_path / folder).mkdir(parents=True)
        write(tmp_path / "set" / "data.yaml", text)
        return tmp_path / "set" / "data.yaml"

    return make


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("names: [cat, dog]\nnc: 2", ("cat", "dog")),
        ("names: {1: dog, 0: cat}", ("cat", "dog")),
        ("names: ['1', yes]", ("1", "True")),
        ("nc: 2", ("class_0", "class_1")),
    ],
)
def test_names(made, names, expected):
    assert read_data_yaml(made(f"{names}\ntrain: a", "set/a")).names == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("names: [cat, cat]\ntrain: a", "the class 'cat' twice"),
        ("names: [cat]\nnc: 2\ntrain: a", "nc: 2 and 1 names"),
        ("names: {0: cat, 2: dog}\ntrain: a", "names for"),
        ("names: 7\ntrain: a", "found 7 as names"),
        ("names: [[cat]]\ntrain: a", "as names"),
        ("names: []\ntrain: a", "no class names"),
        ("names: [cat]", "found no images"),
        ("names: [cat]\ntrain: missing", "train is 'missing', which is not in"),
        ("names: [cat]\ntrain: ../other", "train is '../other'"),
        ("names: [cat]\ntrain: /no/such", "train is '/no/such'"),
        ("names: [cat]\ntrain: {a: b}", "as train"),
        ("a: &a [b]\nc: *a", "YAML aliases"),
        ("[" * 50, "nested deeper"),
        ("- a", r"found \['a'\]"),
        ("a: !!python/object/apply:os.system [ls]", "cannot be read as a data.yaml"),
        ("x" * 60_000, "more than 50,000 bytes"),
    ],
)
def test_what_is_refused(made, text, problem):
    with pytest.raises(PicoDetError, match=problem):
        read_data_yaml(made(text, "set/a", "other"))


def test_where_the_images_are(made, tmp_path):
    path = made("names: [cat]\ntrain: ../train/images\nval: [a, b]", *FOLDERS)
    settings = read_data_yaml(path)
    folder = path.parent
    assert settings.sources["train"] == (folder / "train" / "images",)  # as Roboflow writes it
    assert settings.sources["val"] == (folder / "a", folder / "b")
    write(path, f"names: [cat]\npath: {tmp_path / 'elsewhere'}\ntrain: images")
    assert read_data_yaml(path).sources["train"] == (tmp_path / "elsewhere" / "images",)
    write(path, "names: [cat]\npath: ../datasets/coco8\ntrain: a\nvalid: b")
    assert read_data_yaml(path).sources == {"train": (folder / "a",), "val": (folder / "b",)}


FOLDERS = ("set/train/images", "set/a", "set/b", "elsewhere/images")
