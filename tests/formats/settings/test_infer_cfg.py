import pytest

from picodet.config import NMSSettings, Preprocessing
from picodet.errors import CheckpointError
from picodet.formats.settings.infer_cfg import InferConfig, read_infer_cfg

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


NMS = """\
NMS:
  keep_top_k: 50
  name: MultiClassNMS
  nms_threshold: 0.5
  nms_top_k: 500
  score_threshold: 0.3
"""


def test_nms(tmp_path):
    assert read(tmp_path, GOOD).nms is None
    assert read(tmp_path, GOOD + NMS).nms == NMSSettings(0.3, 0.5, 500, 50)
    assert read(tmp_path, GOOD + "NMS: {nms_threshold: 1}").nms == NMSSettings(iou_threshold=1)


@pytest.mark.parametrize(
    ("nms", "found"),
    [
        ("7", "7, no settings"),
        ("{name: MatrixNMS}", "the name 'MatrixNMS', which no PicoDet has"),
        ("{keep_top_k: -1}", "keep_top_k -1, which is not a number up to 100,000"),
        ("{keep_top_k: 2.5}", "keep_top_k 2.5, which is not"),
        ("{nms_threshold: .nan}", "nms_threshold nan, which is not a number up to 1"),
        ("{score_threshold: high}", "score_threshold 'high', which is not"),
        ("{score_threshold: true}", "score_threshold True, which is not"),
    ],
)
def test_an_nms_that_cannot_be_used_is_noted(tmp_path, nms, found):
    settings = read(tmp_path, f"{GOOD}NMS: {nms}\n")
    assert settings.nms is None
    assert f"infer_cfg.yml: its NMS has {found}" in settings.notes[0]


def test_the_model_that_paddlex_names(tmp_path):
    assert read(tmp_path, GOOD).model_name is None
    assert read(tmp_path, PADDLEX + GOOD).model_name == "PicoDet-S"
    assert read(tmp_path, GOOD + "Global: {model_name: [7]}").model_name is None


def test_a_step_that_is_not_carried_out_blocks_nothing_else(tmp_path):
    text = GOOD.replace("type: Resize", "type: LetterboxResize") + "label_list: [cat]\n"
    settings = read(tmp_path, text)
    assert settings.preprocessing.unsupported == "the step LetterboxResize"
    assert (settings.size, settings.labels) == ((320, 416), ("cat",))
    assert settings.notes == (
        "infer_cfg.yml: its preprocessing has the step LetterboxResize, which picodet does not "
        "carry out: weights are converted, images are not preprocessed",
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "7", "[]", "text", "[" * 5000),
        GOOD.replace("mode: paddle", "mode: ["),
        GOOD.replace("mode: paddle", "mode: \x00"),
        GOOD.replace("- type: Permute", "- !!python/object/apply:os.system ['touch hacked']"),
    ],
)
def test_what_is_no_settings_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"infer_cfg\.yml: .* expected ") as refused:
        read(tmp_path, text)
    assert "Error" not in str(refused.value)  # no name of a Python exception
    assert not (tmp_path / "hacked").exists()


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "infer_cfg.yml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(CheckpointError, match="cannot be read as settings in YAML"):
        read_infer_cfg(tmp_path)
