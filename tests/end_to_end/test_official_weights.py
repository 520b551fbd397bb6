"""Official weights on real images, compared with ppdet's own outputs.

Needs ../shared, from which nothing may be committed; .ci/run has it beside the checkout.
"""

import gzip
import json
import re
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from recorder import bounds, resizes_alike
from tracing import filled_model, trace

import picodet
from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_file
from picodet.converter.names.name_tables import name_table
from picodet.data.preprocess import normalize, preprocess, read_image
from picodet.errors import ConversionError, ImageError
from picodet.evaluation.matching import box_ious
from picodet.formats import pdparams
from picodet.ops.decode import decode
from picodet.zoo.official import CONFIGS

NUM_IMAGES = 50


@pytest.fixture(scope="module")
def official(shared, tmp_path_factory):
    """PicoDet-S-416, converted from the file and loaded as a user would."""
    output = tmp_path_factory.mktemp("official") / "picodet_s_416_coco.pth"
    report = convert_file(
        shared / "weights" / "picodet_s_416_coco.pdparams", output, ConvertOptions()
    )
    assert (report.variant, report.tensors, report.mapped) == ("picodet_s_416_coco", 580, 576)
    return picodet.load(output)


@cache
def ground_truth(folder):
    content = json.loads((folder / "instances_val400.json").read_text())
    photos = sorted(content["images"], key=lambda image: image["id"])[:NUM_IMAGES]
    categories = sorted(category["id"] for category in content["categories"])
    return photos, categories


@pytest.mark.parametrize("name", ["corrupt_mid.jpg", "trunc_prog_eoi.jpg"])
def test_damaged_images(shared, name, capfd):
    with pytest.raises(
        ImageError, match=rf"{name}: a damaged image: its decoder reports 'Corrupt JPEG data: "
    ):
        read_image(shared / "cases" / name)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_raw_outputs_are_those_of_the_official_export(shared, official):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(shared / "weights" / "picodet_s_416_coco.onnx")
    names = [output.name for output in session.get_outputs()]
    photos, _ = ground_truth(shared / "coco")
    for photo in photos[:5]:
        image = read_image(shared / "coco" / "val2017" / photo["file_name"])
        array, _ = preprocess(image, (416, 416), official.config.preprocessing)
        theirs = session.run(names, {session.get_inputs()[0].name: array[None]})
        with torch.inference_mode():
            ours = official(torch.from_numpy(array)[None])
        scores = [logits.sigmoid().flatten(2).transpose(1, 2) for logits in ours.logits]
        sides = [sides.flatten(2).transpose(1, 2) for sides in ours.reg]
        for found, expected in zip(scores + sides, theirs, strict=True):
            assert found.shape == expected.shape
            assert np.abs(found.numpy() - expected).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("interp", [1, 2])
def test_detections_are_ppdets(shared, official, interp):
    """Same count, classes and order; scores within 1e-5, boxes within 0.02 pixels.

    With other resize kernels than ppdet's machine had, most are, in any order.
    """
    name = f"ppdet_detections_interp{interp}.json.gz"
    recorded = json.loads(gzip.decompress((shared / "coco" / name).read_bytes()))
    photos, categories = ground_truth(shared / "coco")
    if interp == 2 and not resizes_alike():
        check_most(shared, official, recorded)
        return
    for photo in photos:
        rows = [row for row in recorded if row["image_id"] == photo["id"]]
        path = shared / "coco" / "val2017" / photo["file_name"]
        found = picodet.detect(official, path, interp=interp)
        assert [categories[label] for label in found.classes] == [r["category_id"] for r in rows]
        assert np.allclose(found.scores, [row["score"] for row in rows], rtol=0, atol=1e-5)
        boxes = np.array([row["bbox"] for row in rows]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        assert np.allclose(found.boxes, boxes, rtol=0, atol=0.02)


def check_most(shared, official, recorded):
    photos, categories = ground_truth(shared / "coco")
    matched = same = count = 0
    for photo in photos:
        path = shared / "coco" / "val2017" / photo["file_name"]
        found = picodet.detect(official, path, interp=2)
        labels = np.array(categories)[found.classes]
        boxes = np.hstack([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]])
        rows = [row for row in recorded if row["image_id"] == photo["id"]]
        count += len(rows)
        for row in rows:
            overlaps = box_ious(np.tile(row["bbox"], (len(boxes), 1)), boxes)
            overlaps[labels != row["category_id"]] = 0
            best = int(overlaps.argmax())
            matched += overlaps[best] >= 0.5
            same += overlaps[best] >= 0.5 and abs(found.scores[best] - row["score"]) < 1e-5
    assert count == 4991
    assert matched > bounds().matched * count
    assert same >= bounds().same * count


SECOND_NAME = re.compile(r"(head_cls|head_reg)_list\.")  # the predictors of 2022 have two


def layers_of(folder, precision):
    """ppdet's layers by picodet's names: name, shape, greatest magnitude, samples."""
    config = CONFIGS[folder.name]
    table = name_table(config.backbone, config.neck, config.head)
    own = folder / f"{precision}_hooks.json"  # of XS one list is for both precisions
    hooks = json.loads((own if own.is_file() else folder / "eval_hooks.json").read_text())
    with np.load(folder / f"{precision}.npz") as recorded:
        samples = recorded["hook_strided"]
    for hook in hooks:
        name = table.to_ours(SECOND_NAME.sub(r"\1", hook["name"])).name
        same_again = name == "head.conv_feat" and hook["out"] == 1 and config.head == "pico_head"
        if name not in ("head", "head.integral") and not same_again:
            yield name, tuple(hook["shape"])[1:], hook["absmax"], samples[hook["i"]]


def samples_of(output, count=64):
    flat = output.ravel()
    return flat[np.linspace(0, flat.size - 1, count).astype(int)]


def reference_model(shared, name):
    folder = shared / "reference" / name
    return filled_model(CONFIGS[name], pdparams.read(folder / f"{name}.pdparams"))


def reference_input(shared, name="picodet_s_416_coco"):
    with np.load(shared / "reference" / name / "eval.npz") as recorded:
        return recorded["input"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fed"),
    [
        ("picodet_s_416_coco", "picodet_s_416_coco"),
        ("picodet_m_416_coco", "picodet_s_416_coco"),
        ("picodet_xs_320_coco_lcnet", "picodet_xs_320_coco_lcnet"),
    ],
)
def test_every_layer_is_ppdets_in_float64(shared, name, fed):
    """With realistic batch-norm statistics; the bar is 1e-9 of a layer's scale. Measured: 5e-14."""
    ours = trace(reference_model(shared, name).double(), reference_input(shared, fed)[:1])
    theirs = list(layers_of(shared / "reference" / name, "eval64"))
    assert [(n, output.shape[1:]) for n, output in ours] == [(n, shape) for n, shape, *_ in theirs]
    for (layer, output), (_, _, scale, samples) in zip(ours, theirs, strict=True):
        assert np.abs(samples_of(output) - samples).max() < 1e-12 * scale, layer


@pytest.mark.slow
def test_every_layer_is_ppdets_within_float32s_noise(shared):
    """The noise of a layer is the difference of picodet's model between float32 and float64.

    Measured: ppdet is 14 times this noise away where it averages a whole map (it adds up the
    cells in one float32 sum, torch in pairs), 4 times or less elsewhere. The noise itself is
    bounded as well: 1.3e-5 of a layer's scale measured.
    """
    name = "picodet_s_416_coco"
    model, images = reference_model(shared, name), reference_input(shared)
    single, double = trace(model, images), trace(model.double(), images)
    theirs = list(layers_of(shared / "reference" / name, "eval"))
    assert [n for n, _ in single] == [n for n, *_ in theirs]
    for (layer, output), (_, exact), (_, _, scale, samples) in zip(
        single, double, theirs, strict=True
    ):
        noise = np.abs(output - exact).max()
        assert noise < 1e-4 * scale, layer
        assert np.abs(samples_of(output) - samples).max() < 20 * noise, layer


def test_boxes_are_ppdets_in_float64(shared):
    model = reference_model(shared, "picodet_s_416_coco").double()
    with torch.inference_mode():
        images = torch.from_numpy(reference_input(shared)[:1]).double()
        boxes, _ = decode(model(images), model.head.integral)
    with np.load(shared / "reference" / "picodet_s_416_coco" / "eval64.npz") as recorded:
        assert np.abs(boxes.numpy() - recorded["boxes_netscale"]).max() < 1e-9


@pytest.mark.parametrize("interp", range(5))
def test_preprocessing_is_ppdets_bit_for_bit(shared, official, interp):
    folder = shared / "reference"
    preprocessing = picodet.config.Preprocessing(interp=interp)
    image = read_image(folder / "images" / "000000014439.jpg")
    array, scale_factor = preprocess(image, (416, 416), preprocessing)
    with np.load(folder / "picodet_s_416_coco" / "real.npz") as recorded:
        expected = recorded[f"image_interp{interp}"]
        assert np.array_equal(scale_factor, recorded["scale_factor"])
    if interp == 2 and not resizes_alike():
        ours, theirs = (gray_levels(each, preprocessing) for each in (array, expected))
        assert np.array_equal(normalize(ours, preprocessing), array)
        distance = cv2.absdiff(ours, theirs)
        assert distance.max() <= 1
        # measured: with AVX2's and SSE4.2's kernels none, without IPP 2.63 %
        assert np.count_nonzero(distance) < 0.03 * distance.size
    else:
        assert np.array_equal(array, expected)


def gray_levels(array, preprocessing):
    """[3, H, W] normalized -> [H, W, 3] uint8 BGR."""
    mean, std = (
        np.array(value)[:, None, None] for value in (preprocessing.mean, preprocessing.std)
    )
    rgb = np.rint(255 * (array * std + mean)).astype(np.uint8)
    return np.ascontiguousarray(rgb[::-1].transpose(1, 2, 0))


def test_real_batch_norm_statistics_arrive(shared, tmp_path):
    """The pedestrian model's are not folded away, so that exchanged ones would show.

    The scores are those of its official inference folder, run by paddle.inference 3.3.1, of the
    image as every CPU resizes it.
    """
    output = tmp_path / "pedestrian.safetensors"
    report = convert_file(
        shared / "weights" / "picodet_s_192_pedestrian.pdparams", output, ConvertOptions()
    )
    assert (report.variant, report.classes) == ("picodet_s_192_pedestrian", 1)
    photo = shared / "coco" / "val2017" / "000000000139.jpg"
    found = picodet.detect(picodet.load(output), photo, score_thr=0.3, resize="portable")
    assert found.scores.tolist() == pytest.approx([0.346884, 0.334743], abs=2e-6)
    assert found.classes.tolist() == [0, 0]


def test_another_detector_of_ppdet_is_refused(shared, tmp_path):
    with pytest.raises(
        ConversionError, match=r"tensors of PP-YOLO or YOLOv3, .* matches 5 of its 358"
    ):
        convert_file(
            shared / "weights" / "ppyolo_tiny_not_picodet.pdparams",
            tmp_path / "x.pth",
            ConvertOptions(),
        )
