"""Whole evaluations, on synthetic images and with a small network."""

import color_network
import numpy as np
import pytest
import torch
from drawn_coco import EMPTY_IMAGE, read, write_annotations
from evaluating import NUM_IMAGES, detect, same_output, same_predictions

from picodet.data.preprocess import read_image
from picodet.data.resize_kernels import kernels_differ
from picodet.errors import EvaluationError, PicoDetError
from picodet.evaluation import evaluator
from picodet.evaluation.metrics import evaluate
from picodet.inference.layout_options import LayoutOptions
from picodet.inference.open_backend import RuntimeOptions, open_backend
from picodet.inference.predict import detect_image
from picodet.ops.postprocess import PostprocessingOptions


def test_every_image_counts_and_is_detected_in_as_one_alone_would_be(
    baseline, models, shared_dataset
):
    assert len(baseline.annotations.images) == NUM_IMAGES
    network = open_backend(models / "heads.onnx", RuntimeOptions())
    by_class = {"red": 7, "green": 9, "blue": 4}
    (predictions,) = baseline.predictions
    assert np.array_equal(
        np.unique(predictions.image_ids), [p.id for p in baseline.annotations.images]
    )
    assert (np.diff(predictions.image_ids) >= 0).all()
    for image in baseline.annotations.images:
        found = detect_image(network, read_image(shared_dataset / "val2017" / image.file))
        rows = predictions.select_images([image.id])
        assert rows.category_ids.tolist() == [
            by_class[network.spec.class_name(c)] for c in found.classes
        ]
        assert np.array_equal(rows.scores, found.scores)
        assert np.array_equal(rows.boxes[:, :2], found.boxes[:, :2])
        sides = found.boxes[:, 2:].astype(float) - found.boxes[:, :2]
        assert np.array_equal(rows.boxes[:, 2:], sides)


def test_an_image_without_anything_to_find_counts(baseline):
    """What is found there is wrong, and lowers the AP."""
    (predictions,) = baseline.predictions
    empty = baseline.annotations.images[NUM_IMAGES - 1 - EMPTY_IMAGE]  # ids fall with positions
    assert empty.id not in baseline.annotations.ground_truth.image_ids
    others = [p.id for p in baseline.annotations.images if p.id != empty.id]
    rest = evaluate(baseline.annotations.select_images(others), predictions.select_images(others))
    assert evaluate(baseline.annotations, predictions).stats[0] < rest.stats[0]


@pytest.mark.parametrize("form", ["heads", "boxes"])
def test_several_interps_in_one_run_are_those_of_separate_runs(make_request, form):
    together = detect(make_request(f"{form}.onnx", interps=(2, 0, 1)))
    assert [setting.input_settings.interp for setting in together.settings] == [2, 0, 1]
    alone = [detect(make_request(f"{form}.onnx", interps=(interp,))) for interp in (2, 0, 1)]
    for predictions, single in zip(together.predictions, alone, strict=True):
        assert same_predictions(predictions, single.predictions[0])
    assert not same_predictions(*together.predictions[:2])


def test_without_interp_it_is_the_models_own(make_request, models, baseline):
    meta = color_network.meta()
    meta["preprocessing"] = meta["preprocessing"] | {"interp": 1}
    color_network.write_color_network(models / "linear.onnx", meta)
    found = detect(make_request("linear.onnx"))
    assert found.settings[0].input_settings.interp == 1
    assert same_output(found, detect(make_request(interps=(1,))))
    assert not same_output(found, baseline)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["heads.onnx", "torch.pth"])
def test_threads_change_no_bit_and_batches_only_noise(make_request, model):
    before = torch.get_num_threads()
    try:
        found = detect(make_request(model, interps=(1, 2)))
        for threads in (2, 4):
            assert same_output(found, detect(make_request(model, interps=(1, 2), threads=threads)))
        several = detect(make_request(model, interps=(1, 2), batch=4))
        assert same_output(several, detect(make_request(model, interps=(1, 2), batch=4, threads=3)))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found.predictions, several.predictions, strict=True):
        assert np.array_equal(one.image_ids, other.image_ids)
        assert np.array_equal(one.category_ids, other.category_ids)
        assert np.abs(one.scores - other.scores).max() < 1e-5
        assert np.abs(one.boxes - other.boxes).max() < 0.02


def test_post_processing_goes_through(make_request, baseline):
    (base,) = baseline.predictions
    (fewer,) = detect(
        make_request(postprocessing=PostprocessingOptions(score_threshold=0.5))
    ).predictions
    assert 0 < len(fewer) < len(base)
    assert fewer.scores.min() > 0.5
    (more,) = detect(
        make_request(postprocessing=PostprocessingOptions(iou_threshold=0.9))
    ).predictions
    assert len(more) > len(base)
    (old,) = detect(
        make_request(postprocessing=PostprocessingOptions(semantics="ppdet-2.3"))
    ).predictions
    assert base.boxes.min() < -1
    assert old.boxes.min() >= 0
    sizes = {image.id: image.size for image in baseline.annotations.images}
    limits = np.array([sizes[i][::-1] for i in old.image_ids.tolist()])
    assert ((old.boxes[:, :2] + old.boxes[:, 2:]) <= limits + 1e-3).all()


def test_nms_inside_cannot_be_changed_from_outside(make_request):
    found = detect(make_request("detections.onnx"))
    assert len(found.predictions[0]) == 2 * NUM_IMAGES
    raised = detect(
        make_request("detections.onnx", postprocessing=PostprocessingOptions(score_threshold=0.5))
    )
    assert len(raised.predictions[0]) == NUM_IMAGES
    for settings in ({"iou_threshold": 0.5}, {"semantics": "ppdet-2.3"}):
        with pytest.raises(EvaluationError, match="does its own NMS, which cannot be changed"):
            detect(
                make_request("detections.onnx", postprocessing=PostprocessingOptions(**settings))
            )


@pytest.mark.parametrize("model", ["heads.onnx", "detections.onnx"])
def test_paddlexs_layout_is_for_all_forms(make_request, model):
    every, layout = detect(make_request(model)), LayoutOptions(threshold={"red": 1.0, "*": 0.05})
    found = detect(make_request(model, layout=layout))
    red, *_ = color_network.CLASSES
    category = {c.name: c.id for c in found.annotations.categories}[red]
    (before,), (after,) = every.predictions, found.predictions
    kept = (before.scores > 0.05) & (before.category_ids != category)
    assert 0 < kept.sum() < len(before)
    assert np.array_equal(np.sort(after.scores), np.sort(before.scores[kept]))
    assert found.settings[0].describe()["paddlex-layout"].startswith("threshold 0.05 (red 1), NMS")
    with pytest.raises(PicoDetError, match="has no class 'pink'"):
        detect(make_request(model, layout=LayoutOptions(merge={"pink": "large"})))


@pytest.mark.parametrize("model", ["heads.onnx", "detections.onnx"])
def test_every_mistake_alone_changes_what_is_found(make_request, model):
    found = detect(make_request(model, what_if=True))
    baseline, *others = found.predictions
    assert same_predictions(baseline, detect(make_request(model)).predictions[0])
    if model == "heads.onnx":  # the other always says the same
        assert [s.name for s in found.settings if "score" in s.name]
        for setting, other in zip(found.settings[1:], others, strict=True):
            assert not same_predictions(baseline, other), setting.name
    else:
        # the portable resize, too, on a machine whose own is another
        assert len(found.settings) == 1 + 6 + kernels_differ(2)


def test_notes_of_the_model_and_of_the_classes(make_request, models):
    color_network.write_color_network(models / "silent.onnx")
    found = detect(make_request("silent.onnx"))
    assert [note for note in found.notes if "classes have no names" in note]
    assert [note for note in found.notes if "matched by their order" in note]
    ordered = detect(make_request(match_classes="order"))
    assert same_predictions(ordered.predictions[0], found.predictions[0])
    assert not same_output(ordered, detect(make_request()))


def test_other_classes_stop_before_any_image_is_read(make_request, own_dataset):
    content = read(own_dataset)
    for category in content["categories"]:
        category["name"] += "dish"
    write_annotations(own_dataset, content)
    (own_dataset / "val2017" / "0.png").unlink()
    with pytest.raises(EvaluationError, match=r"has 3 classes .* none of them is a category"):
        detect(make_request(dataset=own_dataset))


def test_a_category_that_the_model_does_not_know(make_request, own_dataset):
    content = read(own_dataset)
    content["categories"].append({"id": 0, "name": "objects"})
    write_annotations(own_dataset, content)
    found = detect(make_request(dataset=own_dataset))
    assert found.caveat.startswith("over 3 of 4 categories: the model has no class for objects (0")
    assert same_predictions(found.predictions[0], detect(make_request()).predictions[0])


def test_progress_is_reported(make_request):
    checked, detected = [], []
    detect(
        make_request(batch=4, threads=2),
        check_progress=lambda *done: checked.append(done),
        detect_progress=lambda *done: detected.append(done),
    )
    assert checked == [(i + 1, NUM_IMAGES) for i in range(NUM_IMAGES)]
    assert detected == [(4, NUM_IMAGES), (8, NUM_IMAGES), (NUM_IMAGES, NUM_IMAGES)]


def test_progress_files_lie_beside_the_results(tmp_path):
    assert evaluator.progress_path(tmp_path / "out.json") == tmp_path / "out.partial.npz"
    assert str(evaluator.progress_path(None)) == "picodet-eval.partial.npz"


def test_threads_are_shared_among_neighbors(monkeypatch):
    monkeypatch.setattr("picodet.evaluation.evaluator.available_cores", lambda: 8)
    assert evaluator.default_threads() == 8
    for processes, threads in ((2, 4), (3, 2), (20, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert evaluator.default_threads() == threads


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_what_computed_is_reported(make_request, backend):
    assert detect(make_request(runtime_options=RuntimeOptions(backend))).runtime == backend
