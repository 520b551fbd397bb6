"""RandomDistort of ppdet 2.6: its arrays from its draws, bit for bit."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from picodet.training.data.color_jitter import apply_changes, distort, draw_changes, enhance, luma
from picodet.training.data.transforms import LabeledImage, crop, flip
from scripts.fixtures.drawn_samples import digest, synthetic_boxes, synthetic_image


@pytest.mark.parametrize(("form", "part"), [("ppdet-2.6", "samples"), ("ppdet-2.7", "later")])
def test_arrays_are_ppdets(golden, form, part):
    types = set()
    for row in json.loads((golden / "augment.json").read_text())[part]:
        random = np.random.RandomState(row["seed"])
        image = synthetic_image(row["seed"])
        sample = flip(
            crop(LabeledImage(image, *synthetic_boxes(row["seed"], *image.shape[:2])), random),
            0.5,
            random,
        )
        distorted = distort(sample.image, form, random)
        assert digest(distorted) == row["image"], row["seed"]
        types.add(str(distorted.dtype))
    assert types == ({"uint8", "float32", "float64"} if form == "ppdet-2.6" else {"float32"})


# images and forms of the recordings of the real ppdet
RECORDED = [
    ("picodet_s_416_coco/augment_ppdet2.6.json", "ppdet-2.6"),
    ("picodet_s_416_coco/augment.json", "ppdet-2.7"),
    ("picodet_xs_320_coco_lcnet/augment.json", "ppdet-2.7"),
]


@pytest.mark.parametrize(("file", "form"), RECORDED)
def test_real_images_are_ppdets(shared, file, form):
    folder = shared / "reference"
    ground_truth = annotations_of_the_recordings(sorted((folder / "images").glob("*.jpg")))
    rows = json.loads((folder / file).read_text())
    assert len(rows) == 20
    for row in rows:
        image, own, classes = ground_truth[row["image"]]
        random = np.random.RandomState(row["seed"])
        sample = flip(crop(LabeledImage(image.copy(), own, classes), random), 0.5, random)
        distorted = distort(sample.image, form, random)
        assert list(distorted.shape) == row["shape"]
        assert str(distorted.dtype) == row["dtype"]
        first = distorted.reshape(-1)[:12]
        values = distorted.astype(np.float64)
        if distorted.dtype == np.float64:
            # the machine of the recordings multiplied and added without rounding in between, this
            # NumPy rounds: 3 ulps were seen; resized, it is float32
            assert np.allclose(first, row["first12"], rtol=1e-15, atol=0)
            assert first.astype(np.float32).tolist() == np.float32(row["first12"]).tolist()
            assert values.mean() == pytest.approx(row["mean"], rel=1e-15)
        else:
            assert first.tolist() == row["first12"]
            assert values.mean() == row["mean"]  # of whole numbers: exact in any order
            # versions of NumPy add up squares in other orders: 2.2e-16 was seen
            assert values.std() == pytest.approx(row["std"], rel=1e-15)
        assert sample.boxes.tolist() == row["gt_bbox"]
        assert sample.classes.tolist() == row["gt_class"]


def annotations_of_the_recordings(files):
    """Name -> image, boxes, classes, as ../shared/reference/make_reference.py draws them."""
    random = np.random.RandomState(7)
    ids = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    ground_truth = {}
    for number, file in enumerate(files):
        image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        rows, classes = [], []
        for i in range(4):
            w, h = random.uniform(20, width / 2), random.uniform(20, height / 2)
            x, y = random.uniform(0, width - w), random.uniform(0, height - h)
            box = [round(float(v), 2) for v in (x, y, w, h)]
            category = random.choice(ids)
            if number == 0 and i == 3:
                continue  # a crowd
            rows.append([round(v, 3) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3])])
            classes.append(ids.index(category))
        ground_truth[file.name] = image, np.array(rows, np.float32), np.array(classes)
    return ground_truth


def test_by_hand():
    image = np.array([[[10, 20, 30]]], np.uint8)
    assert apply_changes(image, [])[0, 0].tolist() == [10, 20, 30]
    assert apply_changes(image, [("brightness", 1.5)])[0, 0].tolist() == [
        11.5,
        21.5,
        31.5,
    ]  # levels
    assert apply_changes(image, [("contrast", 10.0)])[0, 0].tolist() == [
        100,
        200,
        300,
    ]  # not cut off
    gray = 0.299 * 10 + 0.587 * 20 + 0.114 * 30
    assert apply_changes(image, [("saturation", 0.0)])[0, 0].tolist() == pytest.approx([gray] * 3)
    turned = apply_changes(image, [("hue", 2.0)])  # of half turns: all the way round
    assert turned.dtype == np.float64
    assert turned[0, 0].tolist() == pytest.approx([10, 20, 30], abs=0.1)  # the matrices are rounded
    assert apply_changes(image, [("hue", 1.0)])[0, 0, 0] > 25  # the opposite color


def test_large_images_are_turned_whole():
    image = np.tile(np.array([[[10, 20, 30]]], np.uint8), (100, 200, 1))  # several blocks
    turned = apply_changes(image, [("hue", 0.7)])
    assert (turned == turned[0, 0]).all()


def test_each_kind_comes_in_half_of_all_cases_and_in_any_order():
    random = np.random.RandomState(0)
    drawn = [draw_changes(random) for _ in range(4000)]
    for kind in ("brightness", "contrast", "saturation", "hue"):
        amounts = [amount for changes in drawn for each, amount in changes if each == kind]
        assert abs(len(amounts) - 2000) < 4 * 32  # binomial: four standard deviations
        low, high = (-18, 18) if kind == "hue" else (0.5, 1.5)
        histogram, _ = np.histogram(amounts, 4, (low, high))
        assert histogram.sum() == len(amounts)
        assert abs(histogram - 500).max() < 4 * 25
    first = [changes[0][0] for changes in drawn if len(changes) == 4]
    assert len(set(first)) == 4


ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}


def test_luma():
    for seed in range(10):
        image = synthetic_image(seed)
        assert (luma(image) == np.asarray(Image.fromarray(image).convert("L"))).all()


@pytest.mark.parametrize("kind", ENHANCERS)
def test_blends(kind):
    random = np.random.RandomState(1)
    for seed in range(20):
        image, amount = synthetic_image(seed), random.uniform(0.5, 1.5)
        theirs = np.asarray(ENHANCERS[kind](Image.fromarray(image)).enhance(amount))
        ours = enhance(image, [(kind, amount)])
        assert ours.dtype == np.float32
        assert (ours == theirs).all()


def test_blends_by_hand():
    image = np.array([[[200, 100, 0], [0, 100, 200]]], np.uint8)
    assert enhance(image, [("brightness", 1.5)])[0, 0].tolist() == [255, 150, 0]  # cut off
    # luma 118 and 82, mean 100; the fraction of 100 + 0.505 * 100 is lost
    assert luma(image).tolist() == [[118, 82]]
    assert enhance(image, [("contrast", 0.505)])[0, 0].tolist() == [150, 100, 49]
