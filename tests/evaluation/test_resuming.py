"""Evaluations that were interrupted go on as if nothing had happened."""

import os
from dataclasses import replace

import color_network
import cv2
import pytest
from drawn_coco import read, write_annotations
from evaluating import COUNT, detect, interrupting, not_yet, same

from picodet.data.resize_kernels import INTERPS
from picodet.errors import EvaluationError, ImageError
from picodet.evaluation import partial, settings
from picodet.evaluation.detections import write_results
from picodet.evaluation.evaluator import InterruptedRunError
from picodet.evaluation.resume import remove_progress
from picodet.inference.open_backend import Running
from picodet.ops.postprocess import Postprocessing
from picodet.system import locks


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


def test_nor_one_that_other_kernels_resized(ask, interrupted, monkeypatch):
    """As on another machine."""
    monkeypatch.setattr(settings, "fingerprint", lambda *_: dict.fromkeys(INTERPS, "another"))
    with pytest.raises(EvaluationError, match=r": resized by was native .*, is .*another"):
        detect(ask(resume=interrupted), detecting=not_yet)


def test_nor_one_of_other_annotations(ask, own, interrupted):
    content = read(own)
    content["annotations"].pop()
    write_annotations(own, content)
    with pytest.raises(EvaluationError, match=r"another evaluation: annotations was "):
        detect(ask(dataset=own, resume=interrupted), detecting=not_yet)


def test_a_copy_of_the_dataset_is_gone_on_with(ask, own, interrupted, usual):
    """In another folder, and of another time."""
    for picture in (own / "val2017").iterdir():
        os.utime(picture, (1, 1))
    assert same(detect(ask(dataset=own, resume=interrupted)), usual)


def test_not_with_a_picture_that_was_changed_meanwhile(ask, own, interrupted, usual):
    """Ids fall with positions: 9.png was the first, 0.png is still to come."""
    path = own / "val2017" / "9.png"
    content = path.read_bytes()
    assert cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    with pytest.raises(EvaluationError, match=r"is of other images: 9\.png had [\d,]+ bytes"):
        detect(ask(dataset=own, resume=interrupted), detecting=not_yet)
    path.write_bytes(content)
    later = own / "val2017" / "0.png"
    assert cv2.imwrite(str(later), 255 - cv2.imread(str(later)))
    found = detect(ask(dataset=own, resume=interrupted))
    assert not same(found, usual)
    assert same(found, detect(ask(dataset=own)))


class KilledError(BaseException):
    """As if the process were gone."""


class Clock:
    """A minute goes by from one look to the next."""

    def __init__(self, step=60.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def test_what_is_killed_has_left_all_but_the_last_minute(ask, usual):
    asked = ask()
    with pytest.raises(KilledError):
        detect(asked, detecting=interrupting(7, KilledError), clock=Clock(21))
    assert not list(asked.progress_file.parent.glob("*.lock"))
    told = []
    resumed = detect(
        ask(resume=asked.progress_file), detecting=lambda done, total: told.append(done)
    )
    assert told == list(range(4, 11))  # after three a minute was over
    assert same(resumed, usual)
    assert resumed.partial is None  # who names a file may want it again


def test_a_file_that_takes_long_is_written_less_often(ask, monkeypatch):
    """A second of writing for twenty of work."""
    clock, times = Clock(0.0), []

    def slow(*_):
        times.append(clock.now)
        clock.now += 9

    monkeypatch.setattr(partial, "write_progress", slow)

    def detecting(done, total):
        clock.now += 61

    detect(ask(), detecting=detecting, clock=clock)
    assert times == [61, 253, 445]  # 183 s after the end of the one before


def test_what_is_not_killed_has_left_nothing_for_long(ask):
    asked = ask()
    found = detect(asked, clock=Clock())
    assert found.partial == asked.progress_file
    remove_progress(found.partial)
    assert not list(asked.progress_file.parent.glob("x*"))
    assert detect(asked).partial is None  # it took no minute


def test_what_cannot_be_kept_is_a_note_and_no_end(ask, usual, tmp_path):
    asked = replace(ask(), progress_file=tmp_path / "absent" / "x.partial.npz")
    found = detect(asked, clock=Clock())
    assert same(found, usual)
    (note,) = found.notes
    assert note.startswith("the results so far were not kept for --resume: ")


def test_nobody_writes_over_what_another_has_left(ask, interrupted):
    before = interrupted.read_bytes()
    found = detect(ask(), clock=Clock())
    assert found.partial == interrupted.with_name("x-2.partial.npz")
    lock = locks.acquire(interrupted.with_name("x-3.partial.npz"))  # somebody who is at work
    assert detect(ask(), clock=Clock()).partial == interrupted.with_name("x-4.partial.npz")
    lock.release()
    assert interrupted.read_bytes() == before


def test_one_process_alone_goes_on_with_a_file(ask, interrupted, usual):
    lock = locks.acquire(interrupted)
    with pytest.raises(EvaluationError, match=r"x\.partial\.npz: process \d+ on .* at this moment"):
        detect(ask(resume=interrupted), detecting=not_yet)
    lock.release()
    assert same(detect(ask(resume=interrupted)), usual)
    assert not list(interrupted.parent.glob("*.lock"))


def test_nor_with_a_model_that_was_changed_meanwhile(ask, models, interrupted, tmp_path):
    changed = color_network.meta(channels=98)
    color_network.write_color_network(tmp_path / "heads.onnx", changed)
    with pytest.raises(EvaluationError, match=r"another evaluation: model was heads\.onnx"):
        detect(replace(ask(resume=interrupted), model=tmp_path / "heads.onnx"), detecting=not_yet)
