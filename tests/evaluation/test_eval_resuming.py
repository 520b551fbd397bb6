"""Evaluations that were interrupted go on as if nothing had happened."""

from dataclasses import replace

import colour_network
import pytest
from drawn_coco import read, write_annotations
from evaluating import COUNT, detect, interrupting, not_yet, same

from picodet.errors import EvaluationError, ImageError
from picodet.evaluation.results import write_results
from picodet.evaluation.session import InterruptedRunError
from picodet.inference.opening import Running
from picodet.postprocess import Postprocessing


@pytest.mark.parametrize("model", ["heads.onnx", "torch.pth", "detections.onnx"])
@pytest.mark.parametrize("options", [{}, {"batch": 3, "threads": 2, "interps": (1, 2)}])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(ask, tmp_path, model, options):
    if model == "detections.onnx":
        options = options | {"batch": 1}
    whole = detect(ask(model, **options))
    asked = ask(model, **options)
    with pytest.raises(InterruptedRunError) as caught:
        detect(asked, detecting=interrupting(4))
    path = asked.progress_file
    done = 6 if options.get("batch") == 3 and model != "detections.onnx" else 4
    assert str(caught.value) == (
        f"interrupted; {done} of 10 pictures are in {path}: --resume {path} goes on"
    )
    told = []
    resumed = detect(
        ask(model, resume=path, **options), detecting=lambda done, total: told.append(done)
    )
    assert told[0] > done
    assert told[-1] == COUNT
    assert same(resumed, whole)
    for i, (one, other) in enumerate(zip(resumed.results, whole.results, strict=True)):
        write_results(tmp_path / f"resumed{i}.json", one)
        write_results(tmp_path / f"whole{i}.json", other)
        written = [(tmp_path / f"{name}{i}.json").read_bytes() for name in ("resumed", "whole")]
        assert written[0] == written[1]


def test_it_may_be_interrupted_again_and_again(ask, usual):
    asked = ask()
    path = asked.progress_file
    with pytest.raises(InterruptedRunError):
        detect(asked, detecting=interrupting(2))
    for done in (3, 7, 9):
        with pytest.raises(InterruptedRunError, match=f"{done} of 10 pictures"):
            detect(ask(resume=path), detecting=interrupting(done))
    assert same(detect(ask(resume=path, threads=3)), usual)
    with pytest.raises(InterruptedRunError):
        detect(ask(resume=path), detecting=interrupting(10))
    assert same(detect(ask(resume=path)), usual)  # nothing left to do


def test_where_nothing_was_done_nothing_is_left(ask, own):
    asked = ask(dataset=own)
    with pytest.raises(KeyboardInterrupt):
        detect(asked, checking=interrupting(3))

    def vanish(done, total):
        if done == total:
            (own / "val2017" / "9.png").unlink()  # the first

    with pytest.raises(ImageError, match=r"9\.png: cannot be read: No such file or directory$"):
        detect(asked, checking=vanish)
    assert not asked.progress_file.exists()


def test_what_goes_wrong_half_way_leaves_the_results_so_far(ask, own, usual):
    """A picture that vanishes while others are detected."""
    path = own / "val2017" / "3.png"  # the seventh
    content = path.read_bytes()

    def vanish(done, total):
        if done == 1:
            path.unlink()

    asked = ask(dataset=own)
    with pytest.raises(EvaluationError) as caught:
        detect(asked, detecting=vanish)
    assert "3.png: cannot be read: No such file" in str(caught.value)
    assert f"6 of 10 pictures are in {asked.progress_file}: --resume" in str(caught.value)
    path.write_bytes(content)
    assert same(detect(ask(dataset=own, resume=asked.progress_file)), usual)


@pytest.fixture
def interrupted(ask):
    asked = ask()
    with pytest.raises(InterruptedRunError):
        detect(asked, detecting=interrupting(4))
    return asked.progress_file


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "boxes.onnx"}, "model was heads.onnx "),
        ({"interps": (1,)}, "settings was "),
        ({"interps": (2, 1)}, "settings was "),
        ({"what_if": True}, "settings was "),
        ({"postprocessing": Postprocessing(iou_threshold=0.5)}, "settings was "),
        ({"batch": 2}, "batch was 1, is 2"),
        ({"match_classes": "order"}, r"classes was \(7, 9, 4\), is \(4, 7, 9\)"),
        ({"running": Running("openvino")}, "run by was onnxruntime cpu.*, is openvino cpu"),
    ],
)
def test_another_evaluation_is_not_gone_on_with(ask, interrupted, changes, named):
    with pytest.raises(EvaluationError, match=rf"is of another evaluation: {named}"):
        detect(ask(resume=interrupted, **changes), detecting=not_yet)


def test_nor_one_of_another_dataset(ask, own, interrupted):
    with pytest.raises(EvaluationError, match=r"another evaluation: pictures was .*, is "):
        detect(ask(dataset=own, resume=interrupted), detecting=not_yet)
    content = read(own)
    content["annotations"].pop()
    write_annotations(own, content)
    with pytest.raises(EvaluationError, match=r"another evaluation: annotations was .*; pictures "):
        detect(ask(dataset=own, resume=interrupted), detecting=not_yet)


def test_nor_with_a_model_that_was_changed_meanwhile(ask, models, interrupted, tmp_path):
    changed = colour_network.meta(channels=98)
    colour_network.write_colours(tmp_path / "heads.onnx", changed)
    with pytest.raises(EvaluationError, match=r"another evaluation: model was heads\.onnx"):
        detect(replace(ask(resume=interrupted), model=tmp_path / "heads.onnx"), detecting=not_yet)
