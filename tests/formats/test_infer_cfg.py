import pytest

from picodet.config import Preprocessing
from picodet.errors import CheckpointError
from picodet.formats.infer_cfg import InferConfig, read_infer_cfg

GOOD = """\
mode: paddle
draw_threshold: 0.5
arch: PicoDet
Preprocess:
- interp: 2
  keep_ratio: false
  target_size:
  - 320
  - 416
  type: Resize
- is_scale: true
  mean: [0.485, 0.456, 0.406]
  std: [0.229, 0.224, 0.225]
  type: NormalizeImage
- type: Permute
"""


def read(tmp_path, text):
    (tmp_path / "infer_cfg.yml").write_text(text)
    return read_infer_cfg(tmp_path)


def test_what_ppdet_writes(tmp_path):
    numbers = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 2)
    assert read(tmp_path, GOOD) == InferConfig("infer_cfg.yml", (320, 416), numbers, None)


def test_labels(tmp_path):
    assert read(tmp_path, GOOD + "label_list:\n- cat\n- 7\n").labels == ("cat", "7")


@pytest.mark.parametrize("labels", ["7", "[]", "cat", "{cat: 1}"])
def test_labels_that_are_no_list(tmp_path, labels):
    with pytest.raises(CheckpointError, match=r"infer_cfg\.yml: invalid label_list: "):
        read(tmp_path, f"{GOOD}label_list: {labels}\n")


def test_whole_numbers_for_floats(tmp_path):
    assert read(
        tmp_path, GOOD.replace("[0.485, 0.456, 0.406]", "[0, 0, 0]")
    ).preprocessing.mean == (0, 0, 0)


def test_without_the_file_nothing_is_known(tmp_path):
    assert read_infer_cfg(tmp_path) is None


PADDLEX = """\
Global: {model_name: PicoDet-S}
Hpi:
  paddle_infer: &shapes {image: [[1, 3, 320, 416]]}
  tensorrt: *shapes
"""


def test_what_paddlex_writes(tmp_path):
    (tmp_path / "inference.yml").write_text(PADDLEX + GOOD)
    settings = read_infer_cfg(tmp_path)
    assert (settings.file, settings.size) == ("inference.yml", (320, 416))


def test_two_files_that_say_the_same(tmp_path):
    (tmp_path / "inference.yml").write_text(PADDLEX + GOOD)
    assert read(tmp_path, GOOD).file == "infer_cfg.yml"


def test_two_files_that_differ(tmp_path):
    (tmp_path / "inference.yml").write_text(GOOD.replace("320", "640"))
    with pytest.raises(
        CheckpointError, match=r"infer_cfg\.yml and inference\.yml differ; expected"
    ):
        read(tmp_path, GOOD)


def test_the_real_one(shared):
    settings = read_infer_cfg(shared / "weights" / "picodet_s_192_pedestrian")
    assert (settings.size, settings.preprocessing.interp) == ((192, 192), 2)
    assert len(settings.labels) == 80  # of a model that has one class


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("type: Resize", "type: LetterBox"),
        ("type: NormalizeImage", "type: Standardize"),
        ("keep_ratio: false", "keep_ratio: true"),
        ("is_scale: true", "is_scale: false"),
        ("interp: 2", "interp: cubic"),
        ("interp: 2", "interp:"),
        ("interp: 2", "method: 2"),
        ("  - 320\n  - 416", "  - 320"),
        ("  - 320\n  - 416", "  - 1\n  - 2\n  - 3"),
        ("  target_size:\n  - 320\n  - 416", "  target_size: 416"),
        ("[0.485, 0.456, 0.406]", "[0.485, 0.456]"),
        ("[0.485, 0.456, 0.406]", "half"),
        ("Preprocess:", "Postprocess:"),
        ("- type: Permute", "- Permute"),
        ("- type: Permute", "- {}"),
        ("- type: Permute", "- !!python/object/apply:os.system ['touch hacked']"),
        ("mode: paddle", "mode: ["),
        ("mode: paddle", "mode: \x00"),
    ],
)
def test_an_odd_one_is_refused(tmp_path, monkeypatch, old, new):
    assert old in GOOD
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"infer_cfg\.yml: invalid Preprocess: "):
        read(tmp_path, GOOD.replace(old, new))
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("text", ["", "7", "[]", "text", "{Preprocess: 7}", "{Preprocess: }"])
def test_something_else_is_refused(tmp_path, text):
    with pytest.raises(CheckpointError, match="invalid Preprocess: "):
        read(tmp_path, text)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "infer_cfg.yml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(CheckpointError, match="invalid Preprocess: "):
        read_infer_cfg(tmp_path)


def test_a_yaml_deeper_than_python_goes(tmp_path):
    with pytest.raises(CheckpointError, match="invalid Preprocess: "):
        read(tmp_path, "[" * 5000)


@pytest.mark.parametrize(
    ("old", "new"),
    [("- 320", "- 333"), ("- 320", "- -32"), ("interp: 2", "interp: 9"), ("0.229", "0.0")],
)
def test_numbers_that_no_model_has(tmp_path, old, new):
    with pytest.raises(CheckpointError, match="invalid Preprocess: "):
        read(tmp_path, GOOD.replace(old, new))


def test_numbers_that_are_none(tmp_path):
    with pytest.raises(CheckpointError, match="invalid Preprocess: "):
        read(tmp_path, GOOD.replace("0.485", ".nan"))
