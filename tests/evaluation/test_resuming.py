"""Evaluations that were interrupted go on as if nothing had happened."""

import os
from dataclasses import replace

import color_network
import cv2
import pytest
from drawn_coco import read, write_annotations
from evaluating import NUM_IMAGES, detect, fail_on_progress, interrupt_after, same_output

from picodet.data.resize_kernels import INTERP_NAMES
from picodet.errors import EvaluationError, ImageError
from picodet.evaluation import partial, settings
from picodet.evaluation.detections import write_predictions
from picodet.evaluation.evaluator import InterruptedRunError
from picodet.evaluation.resume import remove_progress
from picodet.inference.open_backend import RuntimeOptions
from picodet.ops.postprocess import PostprocessingOptions
from picodet.system import locks


@pytest.mark.slow
@pytest.mark.parametrize("model", ["heads.onnx", "torch.pth", "detections.onnx"])
@pytest.mark.parametrize("options", [{}, {"batch": 3, "threads": 2, "interps": (1, 2)}])
def test_a_resumed_run_gives_the_same_results(make_request, tmp_path, model, options):
    if model == "detections.onnx":
        options = options | {"batch": 1}
    whole = detect(make_request(model, **options))
    request = make_request(model, **options)
    with pytest.raises(InterruptedRunError) as caught:
        detect(request, detect_progress=interrupt_after(4))
    path = request.progress_path
    done = 6 if options.get("batch") == 3 and model != "detections.onnx" else 4
    assert str(caught.value) == (
        f"interrupted; {done} of 10 images are in {path}: --resume {path} continues"
    )
    progress = []
    resumed = detect(
        make_request(model, resume=path, **options),
        detect_progress=lambda done, total: progress.append(done),
    )
    assert progress[0] > done
    assert progress[-1] == NUM_IMAGES
    assert same_output(resumed, whole)
    for i, (one, other) in enumerate(zip(resumed.predictions, whole.predictions, strict=True)):
        write_predictions(tmp_path / f"resumed{i}.json", one)
        write_predictions(tmp_path / f"whole{i}.json", other)
        written = [(tmp_path / f"{name}{i}.json").read_bytes() for name in ("resumed", "whole")]
        assert written[0] == written[1]


def test_it_may_be_interrupted_again_and_again(make_request, baseline):
    request = make_request()
    path = request.progress_path
    with pytest.raises(InterruptedRunError):
        detect(request, detect_progress=interrupt_after(2))
    for done in (3, 7, 9):
        with pytest.raises(InterruptedRunError, match=f"{done} of 10 images"):
            detect(make_request(resume=path), detect_progress=interrupt_after(done))
    assert same_output(detect(make_request(resume=path, threads=3)), baseline)
    with pytest.raises(InterruptedRunError):
        detect(make_request(resume=path), detect_progress=interrupt_after(10))
    assert same_output(detect(make_request(resume=path)), baseline)  # nothing left to do


def test_an_early_interrupt_leaves_no_progress_file(make_request, own_dataset):
    request = make_request(dataset=own_dataset)
    with pytest.raises(KeyboardInterrupt):
        detect(request, check_progress=interrupt_after(3))

    def vanish(done, total):
        if done == total:
            (own_dataset / "val2017" / "9.png").unlink()  # the first

    with pytest.raises(ImageError, match=r"9\.png: cannot be read: No such file or directory$"):
        detect(request, check_progress=vanish)
    assert not request.progress_path.exists()


def test_an_error_half_way_saves_the_progress(make_request, own_dataset, baseline):
    """An image that vanishes while others are detected."""
    path = own_dataset / "val2017" / "3.png"  # the seventh
    content = path.read_bytes()

    def vanish(done, total):
        if done == 1:
            path.unlink()

    request = make_request(dataset=own_dataset)
    with pytest.raises(EvaluationError) as caught:
        detect(request, detect_progress=vanish)
    assert "3.png: cannot be read: No such file" in str(caught.value)
    assert f"6 of 10 images are in {request.progress_path}: --resume" in str(caught.value)
    path.write_bytes(content)
    assert same_output(
        detect(make_request(dataset=own_dataset, resume=request.progress_path)), baseline
    )


@pytest.fixture
def interrupted(make_request):
    request = make_request()
    with pytest.raises(InterruptedRunError):
        detect(request, detect_progress=interrupt_after(4))
    return request.progress_path


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "boxes.onnx"}, "model was heads.onnx "),
        ({"interps": (1,)}, "settings was "),
        ({"interps": (2, 1)}, "settings was "),
        ({"what_if": True}, "settings was "),
        ({"postprocessing": PostprocessingOptions(iou_threshold=0.5)}, "settings was "),
        ({"batch": 2}, "batch was 1, is 2"),
        ({"match_classes": "order"}, r"classes was \(7, 9, 4\), is \(4, 7, 9\)"),
        (
            {"runtime_options": RuntimeOptions("openvino")},
            "run by was onnxruntime cpu.*, is openvino cpu",
        ),
    ],
)
def test_progress_of_another_evaluation_is_refused(make_request, interrupted, changes, named):
    with pytest.raises(EvaluationError, match=rf"belongs to another evaluation: {named}"):
        detect(make_request(resume=interrupted, **changes), detect_progress=fail_on_progress)


def test_progress_with_other_resize_kernels_is_refused(make_request, interrupted, monkeypatch):
    """As on another machine."""
    monkeypatch.setattr(settings, "fingerprint", lambda *_: dict.fromkeys(INTERP_NAMES, "another"))
    with pytest.raises(EvaluationError, match=r": resized by was native .*, is .*another"):
        detect(make_request(resume=interrupted), detect_progress=fail_on_progress)


def test_progress_with_other_annotations_is_refused(make_request, own_dataset, interrupted):
    content = read(own_dataset)
    content["annotations"].pop()
    write_annotations(own_dataset, content)
    with pytest.raises(EvaluationError, match=r"another evaluation: annotations was "):
        detect(
            make_request(dataset=own_dataset, resume=interrupted), detect_progress=fail_on_progress
        )


def test_progress_continues_on_a_copy_of_the_dataset(
    make_request, own_dataset, interrupted, baseline
):
    """In another folder, and of another time."""
    for image in (own_dataset / "val2017").iterdir():
        os.utime(image, (1, 1))
    assert same_output(detect(make_request(dataset=own_dataset, resume=interrupted)), baseline)


def test_progress_with_a_changed_image_is_refused(make_request, own_dataset, interrupted, baseline):
    """Ids fall with positions: 9.png was the first, 0.png is still to come."""
    path = own_dataset / "val2017" / "9.png"
    content = path.read_bytes()
    assert cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    with pytest.raises(EvaluationError, match=r"belongs to other images: 9\.png had [\d,]+ bytes"):
        detect(
            make_request(dataset=own_dataset, resume=interrupted), detect_progress=fail_on_progress
        )
    path.write_bytes(content)
    later = own_dataset / "val2017" / "0.png"
    assert cv2.imwrite(str(later), 255 - cv2.imread(str(later)))
    found = detect(make_request(dataset=own_dataset, resume=interrupted))
    assert not same_output(found, baseline)
    assert same_output(found, detect(make_request(dataset=own_dataset)))


class KilledError(BaseException):
    """As if the process were gone."""


class Clock:
    """A minute goes by from one look to the next."""

    def __init__(self, step=60.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def test_a_killed_run_loses_at_most_the_last_minute(make_request, baseline):
    request = make_request()
    with pytest.raises(KilledError):
        detect(request, detect_progress=interrupt_after(7, KilledError), clock=Clock(21))
    assert not list(request.progress_path.parent.glob("*.lock"))
    progress = []
    resumed = detect(
        make_request(resume=request.progress_path),
        detect_progress=lambda done, total: progress.append(done),
    )
    assert progress == list(range(4, 11))  # after three a minute was over
    assert same_output(resumed, baseline)
    assert resumed.partial is None  # who names a file may want it again


def test_a_file_that_takes_long_is_written_less_often(make_request, monkeypatch):
    """A second of writing for twenty of work."""
    clock, times = Clock(0.0), []

    def slow(*_):
        times.append(clock.now)
        clock.now += 9

    monkeypatch.setattr(partial, "write_progress", slow)

    def detect_progress(done, total):
        clock.now += 61

    detect(make_request(), detect_progress=detect_progress, clock=clock)
    assert times == [61, 253, 445]  # 183 s after the end of the one before


def test_progress_is_removable_and_a_short_run_writes_none(make_request):
    request = make_request()
    found = detect(request, clock=Clock())
    assert found.partial == request.progress_path
    remove_progress(found.partial)
    assert not list(request.progress_path.parent.glob("x*"))
    assert detect(request).partial is None  # it took no minute


def test_progress_that_cannot_be_written_becomes_a_note(make_request, baseline, tmp_path):
    request = replace(make_request(), progress_path=tmp_path / "absent" / "x.partial.npz")
    found = detect(request, clock=Clock())
    assert same_output(found, baseline)
    (note,) = found.notes
    assert note.startswith("the progress was not saved for --resume: ")


def test_a_new_run_does_not_overwrite_progress_of_another(make_request, interrupted):
    before = interrupted.read_bytes()
    found = detect(make_request(), clock=Clock())
    assert found.partial == interrupted.with_name("x-2.partial.npz")
    lock = locks.acquire(interrupted.with_name("x-3.partial.npz"))  # somebody who is at work
    assert detect(make_request(), clock=Clock()).partial == interrupted.with_name("x-4.partial.npz")
    lock.release()
    assert interrupted.read_bytes() == before


def test_only_one_process_resumes_a_progress_file(make_request, interrupted, baseline):
    lock = locks.acquire(interrupted)
    with pytest.raises(EvaluationError, match=r"x\.partial\.npz: process \d+ on .* is resuming it"):
        detect(make_request(resume=interrupted), detect_progress=fail_on_progress)
    lock.release()
    assert same_output(detect(make_request(resume=interrupted)), baseline)
    assert not list(interrupted.parent.glob("*.lock"))


def test_progress_with_a_changed_model_is_refused(make_request, models, interrupted, tmp_path):
    changed = color_network.meta(channels=98)
    color_network.write_color_network(tmp_path / "heads.onnx", changed)
    with pytest.raises(EvaluationError, match=r"another evaluation: model was heads\.onnx"):
        detect(
            replace(make_request(resume=interrupted), model=tmp_path / "heads.onnx"),
            detect_progress=fail_on_progress,
        )
