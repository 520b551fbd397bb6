"""Records PaddleDetection's augmentation of training images, as digests of its arrays.

    PYTHONPATH=. .venv-paddle/bin/python -m scripts.record.augment

makes tests/golden/augment.json from synthetic images: transforms of ppdet 2.6.0 after
np.random.seed(k), and RandomDistort of develop (7d6dc40793), which is rebuilt here with Pillow.
"""

import copy
import json
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageEnhance
from ppdet.data import transform

from picodet.data.resize_kernels import use_kernels
from scripts.fixtures.drawn_samples import digest, synthetic_boxes, synthetic_image

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "augment.json"
SEEDS = 40  # of the sample transforms
SIZES = [352, 384, 416, 448, 480]
NORMALIZE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "is_scale": True}
NPU_NORMALIZE = {"mean": [0, 0, 0], "std": [1, 1, 1], "is_scale": True}
MOSAIC = {
    "prob": 0.6,
    "input_dim": [640, 640],
    "degrees": [-10, 10],
    "scale": [0.1, 2.0],
    "shear": [-2, 2],
    "translate": [-0.1, 0.1],
    "enable_mixup": True,
}


def sample(seed: int) -> dict[str, Any]:
    """A synthetic sample as ppdet's Decode returns it."""
    image = synthetic_image(seed)
    own, classes = synthetic_boxes(seed, *image.shape[:2])
    return {
        "image": image,
        "gt_bbox": own,
        "gt_class": classes[:, None].astype(np.int32),
        "is_crowd": np.zeros((len(own), 1), np.int32),
        "im_shape": np.array(image.shape[:2], np.float32),
        "scale_factor": np.ones(2, np.float32),
    }


def row(seed: int, augmented: dict[str, Any]) -> dict[str, Any]:
    """The recorded values of a sample."""
    return {
        "seed": seed,
        "image": digest(augmented["image"]),
        "dtype": str(augmented["image"].dtype),
        "boxes": np.asarray(augmented["gt_bbox"], np.float64).tolist(),
        "classes": np.asarray(augmented["gt_class"])[:, 0].astype(int).tolist(),
    }


def later_distort(image: np.ndarray, random_state: np.random.RandomState) -> np.ndarray:
    """RandomDistort as in 7d6dc40793, on [H, W, 3] uint8 RGB."""
    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color, None)
    augmented = Image.fromarray(image)
    for index in random_state.permutation(4):
        if random_state.uniform(0.0, 1.0) < 0.5:
            continue
        enhancer = kinds[index]
        if enhancer is None:
            hsv = np.array(augmented.convert("HSV"))
            hsv[..., 0] = hsv[..., 0] + random_state.uniform(-18, 18)
            augmented = Image.frombytes("HSV", augmented.size, hsv.tobytes()).convert("RGB")
        else:
            augmented = enhancer(augmented).enhance(random_state.uniform(0.5, 1.5))
    return np.asarray(augmented).astype(np.float32)


def seed_all(seed: int) -> None:
    """Seed the global random states that ppdet uses: NumPy's and Python's."""
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def main() -> None:
    """Write the recording."""
    cv2.setNumThreads(1)
    with use_kernels("portable"):
        recorded = record_all()
    OUTPUT.write_text(json.dumps(recorded) + "\n")


def record_all() -> dict[str, list[dict[str, Any]]]:
    """The rows of all groups."""
    crop, flip, distort = (
        transform.RandomCrop(),
        transform.RandomFlip(0.5),
        transform.RandomDistort(),
    )
    recorded: dict[str, list[dict[str, Any]]] = {"samples": [], "later": [], "batches": []}
    for seed in range(SEEDS):
        seed_all(seed)
        recorded["samples"].append(row(seed, distort(flip(crop(sample(seed))))))
        seed_all(seed)
        augmented = flip(crop(sample(seed)))
        augmented["image"] = later_distort(
            np.ascontiguousarray(augmented["image"]), np.random.mtrand._rand
        )
        recorded["later"].append(row(seed, augmented))
    resize = transform.BatchRandomResize(SIZES, keep_ratio=False, random_interp=True)
    normalize, permute = transform.NormalizeImage(**NORMALIZE), transform.Permute()
    for seed in range(SEEDS):
        seed_all(seed)
        augmented = permute(normalize(resize([distort(flip(crop(sample(seed))))])))[0]
        recorded["batches"].append(row(seed, augmented))
    recorded["mosaics"] = mosaics()
    return recorded


def mosaics() -> list[dict[str, Any]]:
    """The augmentation of picodet_s_416_coco_npu, up to the normalized batch."""
    steps = [
        transform.Mosaic(**MOSAIC),
        transform.AugmentHSV(is_bgr=False, hgain=5, sgain=30, vgain=30),
        transform.RandomFlip(0.5),
    ]
    resize = transform.BatchRandomResize(SIZES, keep_ratio=False, random_interp=True)
    rows = []
    for seed in range(SEEDS):
        seed_all(seed)
        augmented: Any = [copy.deepcopy(sample(seed + k)) for k in range(5)]
        for step in steps:
            augmented = step(augmented)
        augmented = transform.NormalizeImage(**NPU_NORMALIZE)(resize([augmented]))[0]
        rows.append(row(seed, transform.Permute()(augmented)))
    return rows


if __name__ == "__main__":
    main()
