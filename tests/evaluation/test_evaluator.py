"""Whole evaluations, on drawn pictures and with a small network."""

import color_network
import numpy as np
import pytest
import torch
from drawn_coco import EMPTY, read, write_annotations
from evaluating import COUNT, detect, same, same_results

from picodet.data.preprocess import read_image
from picodet.data.resize_kernels import differ
from picodet.errors import EvaluationError
from picodet.evaluation import evaluator
from picodet.evaluation.metrics import evaluate
from picodet.inference.open_backend import Running, open_network
from picodet.inference.predict import detect_with
from picodet.ops.postprocess import Postprocessing


def test_every_picture_counts_and_is_detected_in_as_one_alone_would_be(usual, models, common):
    assert len(usual.annotations.pictures) == COUNT
    network = open_network(models / "heads.onnx", Running())
    by_class = {"red": 7, "green": 9, "blue": 4}
    (results,) = usual.results
    assert np.array_equal(
        np.unique(results.picture_ids), [p.id for p in usual.annotations.pictures]
    )
    assert (np.diff(results.picture_ids) >= 0).all()
    for picture in usual.annotations.pictures:
        found = detect_with(network, read_image(common / "val2017" / picture.file))
        rows = results.of_pictures([picture.id])
        assert rows.category_ids.tolist() == [
            by_class[network.spec.class_name(c)] for c in found.classes
        ]
        assert np.array_equal(rows.scores, found.scores)
        assert np.array_equal(rows.boxes[:, :2], found.boxes[:, :2])
        sides = found.boxes[:, 2:].astype(float) - found.boxes[:, :2]
        assert np.array_equal(rows.boxes[:, 2:], sides)


def test_a_picture_without_anything_to_find_counts(usual):
    """What is found there is wrong, and lowers the AP."""
    (results,) = usual.results
    empty = usual.annotations.pictures[COUNT - 1 - EMPTY]  # ids fall with positions
    assert empty.id not in usual.annotations.truths.picture_ids
    others = [p.id for p in usual.annotations.pictures if p.id != empty.id]
    rest = evaluate(usual.annotations.of_pictures(others), results.of_pictures(others))
    assert evaluate(usual.annotations, results).stats[0] < rest.stats[0]


@pytest.mark.parametrize("form", ["heads", "boxes"])
def test_several_interps_in_one_run_are_those_of_separate_runs(ask, form):
    together = detect(ask(f"{form}.onnx", interps=(2, 0, 1)))
    assert [setting.feeding.interp for setting in together.settings] == [2, 0, 1]
    alone = [detect(ask(f"{form}.onnx", interps=(interp,))) for interp in (2, 0, 1)]
    for results, single in zip(together.results, alone, strict=True):
        assert same_results(results, single.results[0])
    assert not same_results(*together.results[:2])


def test_without_interp_it_is_the_models_own(ask, models, usual):
    meta = color_network.meta()
    meta["preprocessing"] = meta["preprocessing"] | {"interp": 1}
    color_network.write_color_network(models / "linear.onnx", meta)
    found = detect(ask("linear.onnx"))
    assert found.settings[0].feeding.interp == 1
    assert same(found, detect(ask(interps=(1,))))
    assert not same(found, usual)


@pytest.mark.parametrize("model", ["heads.onnx", "torch.pth"])
def test_threads_change_no_bit_and_batches_only_noise(ask, model):
    before = torch.get_num_threads()
    try:
        found = detect(ask(model, interps=(1, 2)))
        for threads in (2, 4):
            assert same(found, detect(ask(model, interps=(1, 2), threads=threads)))
        several = detect(ask(model, interps=(1, 2), batch=4))
        assert same(several, detect(ask(model, interps=(1, 2), batch=4, threads=3)))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found.results, several.results, strict=True):
        assert np.array_equal(one.picture_ids, other.picture_ids)
        assert np.array_equal(one.category_ids, other.category_ids)
        assert np.abs(one.scores - other.scores).max() < 1e-5
        assert np.abs(one.boxes - other.boxes).max() < 0.02


def test_post_processing_goes_through(ask, usual):
    (base,) = usual.results
    (fewer,) = detect(ask(postprocessing=Postprocessing(score_threshold=0.5))).results
    assert 0 < len(fewer) < len(base)
    assert fewer.scores.min() > 0.5
    (more,) = detect(ask(postprocessing=Postprocessing(iou_threshold=0.9))).results
    assert len(more) > len(base)
    (old,) = detect(ask(postprocessing=Postprocessing(semantics="ppdet-2.3"))).results
    assert base.boxes.min() < -1
    assert old.boxes.min() >= 0
    sizes = {picture.id: picture.size for picture in usual.annotations.pictures}
    limits = np.array([sizes[i][::-1] for i in old.picture_ids.tolist()])
    assert ((old.boxes[:, :2] + old.boxes[:, 2:]) <= limits + 1e-3).all()


def test_nms_inside_cannot_be_changed_from_outside(ask):
    found = detect(ask("detections.onnx"))
    assert len(found.results[0]) == 2 * COUNT
    raised = detect(ask("detections.onnx", postprocessing=Postprocessing(score_threshold=0.5)))
    assert len(raised.results[0]) == COUNT
    for settings in ({"iou_threshold": 0.5}, {"semantics": "ppdet-2.3"}):
        with pytest.raises(EvaluationError, match="does its own NMS, which cannot be changed"):
            detect(ask("detections.onnx", postprocessing=Postprocessing(**settings)))


@pytest.mark.parametrize("model", ["heads.onnx", "detections.onnx"])
def test_every_mistake_alone_changes_what_is_found(ask, model):
    found = detect(ask(model, what_if=True))
    usual, *others = found.results
    assert same_results(usual, detect(ask(model)).results[0])
    if model == "heads.onnx":  # the other always says the same
        assert [s.name for s in found.settings if "score" in s.name]
        for setting, other in zip(found.settings[1:], others, strict=True):
            assert not same_results(usual, other), setting.name
    else:
        # the portable resize, too, on a machine whose own is another
        assert len(found.settings) == 1 + 6 + differ(2)


def test_notes_of_the_model_and_of_the_classes(ask, models):
    color_network.write_color_network(models / "silent.onnx")
    found = detect(ask("silent.onnx"))
    assert [note for note in found.notes if "classes have no names" in note]
    assert [note for note in found.notes if "matched by their order" in note]
    ordered = detect(ask(match_classes="order"))
    assert same_results(ordered.results[0], found.results[0])
    assert not same(ordered, detect(ask()))


def test_other_classes_stop_before_any_picture_is_read(ask, own):
    content = read(own)
    content["categories"].append({"id": 99, "name": "yellow"})
    write_annotations(own, content)
    (own / "val2017" / "0.png").unlink()
    with pytest.raises(
        EvaluationError, match=r"has 3 classes .* 4 categories \(blue, red, green, "
    ):
        detect(ask(dataset=own))


def test_progress_is_told(ask):
    checked, detected = [], []
    detect(
        ask(batch=4, threads=2),
        checking=lambda *done: checked.append(done),
        detecting=lambda *done: detected.append(done),
    )
    assert checked == [(i + 1, COUNT) for i in range(COUNT)]
    assert detected == [(4, COUNT), (8, COUNT), (COUNT, COUNT)]


def test_progress_files_lie_beside_the_results(tmp_path):
    assert evaluator.progress_file(tmp_path / "out.json") == tmp_path / "out.partial.npz"
    assert str(evaluator.progress_file(None)) == "picodet-eval.partial.npz"


def test_threads_are_shared_among_neighbours(monkeypatch):
    monkeypatch.setattr("picodet.evaluation.evaluator.available_cores", lambda: 8)
    assert evaluator.threads_here() == 8
    for processes, threads in ((2, 4), (3, 2), (20, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert evaluator.threads_here() == threads


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_what_computed_is_said(ask, backend):
    assert detect(ask(running=Running(backend))).runtime == backend
