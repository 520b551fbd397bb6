"""Record from the real PaddleDetection what the tests hold ours against: tests/golden/.

    PYTHON tools/record_golden.py

PYTHON is an environment with paddlepaddle 3.3.1 and paddledet 2.6.0 (and neither torch nor
picodet). Install it apart from ours:

    pip install paddlepaddle==3.3.1 numpy opencv-python-headless pycocotools PyYAML requests tqdm \
        six scipy matplotlib pandas scikit-learn scikit-image "setuptools<81"
    pip install --no-deps paddledet==2.6.0

Weights and inputs are seeded (tools/seeded.py) and not recorded; outputs are: of every layer 16
samples and the greatest magnitude in float64, the scores and the boxes whole.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import seeded
import skimage
from ppdet.data.reader import Compose
from ppdet.modeling.backbones.esnet import ESNet
from ppdet.modeling.heads.pico_head import PicoFeat, PicoHead
from ppdet.modeling.layers import MultiClassNMS
from ppdet.modeling.losses import DistributionFocalLoss, GIoULoss
from ppdet.modeling.losses.varifocal_loss import VarifocalLoss
from ppdet.modeling.necks.csp_pan import CSPPAN

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
SAMPLES = 16

# scale, channel ratios, neck channels, head depth: configs/picodet/legacy_model/*.yml
RATIOS_S = [0.875, 0.5, 0.5, 0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
RATIOS_M = [0.875, 0.5, 1.0, 0.625, 0.5, 0.75, 0.625, 0.625, 0.5, 0.625, 1.0, 0.625, 0.75]
MODELS = {  # and classes, reg_max, input size
    "picodet_s": (0.75, RATIOS_S, 96, 2, 80, 7, (160, 96)),
    "picodet_m": (1.0, RATIOS_M, 128, 4, 80, 7, (128, 128)),
    "picodet_l": (1.25, RATIOS_M, 160, 4, 80, 7, (96, 160)),
    "picodet_s_3_classes_reg_max_11_depth_3": (0.75, RATIOS_S, 96, 3, 3, 11, (128, 96)),
}


def nms() -> MultiClassNMS:
    """As in configs/picodet/legacy_model/_base_/picodet_esnet.yml:50."""
    return MultiClassNMS(nms_top_k=1000, keep_top_k=100, score_threshold=0.025, nms_threshold=0.6)


def build(numbers: tuple[Any, ...]) -> paddle.nn.Layer:
    """A detector of ppdet's parts, in eval mode and float64, filled with seeded weights."""
    scale, ratios, channels, depth, num_classes, reg_max, _ = numbers
    model = paddle.nn.Layer()
    model.backbone = ESNet(scale=scale, channel_ratio=ratios)
    model.neck = CSPPAN(
        in_channels=[shape.channels for shape in model.backbone.out_shape],
        out_channels=channels,
        num_features=4,
        num_csp_blocks=1,
        use_depthwise=True,
        spatial_scales=[0.125, 0.0625, 0.03125],
    )
    model.head = PicoHead(
        conv_feat=PicoFeat(
            feat_in=channels,
            feat_out=channels,
            num_convs=depth,
            num_fpn_stride=4,
            norm_type="bn",
            share_cls_reg=True,
        ),
        num_classes=num_classes,
        fpn_stride=[8, 16, 32, 64],
        feat_in_chan=channels,
        prior_prob=0.01,
        reg_max=reg_max,
        cell_offset=0.5,
        loss_class=VarifocalLoss(use_sigmoid=True, iou_weighted=True, loss_weight=1.0),
        loss_dfl=DistributionFocalLoss(loss_weight=0.25),
        loss_bbox=GIoULoss(loss_weight=2.0),
        nms=nms(),
    )
    state = model.state_dict()
    for name, value in state.items():
        value.set_value(seeded.tensor(name, tuple(value.shape)))
    model.eval()
    model.to(dtype="float64")
    return model


def record(model: paddle.nn.Layer, images: np.ndarray) -> dict[str, Any]:
    """Samples of every layer's outputs in the order of the calls; scores and boxes whole."""
    names: list[str] = []
    samples: list[np.ndarray] = []
    scales: list[float] = []

    def hook(name: str) -> Any:
        def keep(_: Any, __: Any, output: Any) -> None:
            outputs = output if isinstance(output, list | tuple) else [output]
            for tensor in {id(tensor): tensor for tensor in outputs}.values():  # once if twice
                flat = tensor.numpy().ravel()
                names.append(name)
                samples.append(flat[np.linspace(0, flat.size - 1, SAMPLES).astype(int)])
                scales.append(np.abs(flat).max())

        return keep

    for name, layer in model.named_sublayers():
        layer.register_forward_post_hook(hook(name))
    with paddle.no_grad():
        features = model.neck(model.backbone({"image": paddle.to_tensor(images.astype("f8"))}))
        model.head._generate_anchors = in_float64(model.head._generate_anchors)
        scores, boxes = model.head(features)
    return {
        "names": np.array(names),
        "samples": np.stack(samples),
        "scales": np.array(scales),
        "scores": scores.numpy()[0],
        "boxes": boxes.numpy()[0],
    }


def in_float64(generate: Any) -> Any:
    """ppdet makes its anchors in float32 whatever the model's type is."""
    return lambda *args: tuple(anchors.astype("float64") for anchors in generate(*args))


def suppressed() -> dict[str, np.ndarray]:
    """What ppdet keeps of each case, rows of class, score and box."""
    kept = {}
    for case in seeded.CASES:
        boxes, scores = (paddle.to_tensor(array[None]) for array in seeded.candidates(case))
        kept[case] = nms()(boxes, scores)[0].numpy().reshape(-1, 6)
    return kept


def preprocessed() -> dict[str, Any]:
    """SHA-256 of what ppdet's TestReader makes of scikit-image's pictures."""
    digests = {}
    for picture in ("chelsea.png", "rocket.jpg"):
        for size in ((416, 416), (192, 320)):
            for interp in range(5):
                transforms = [
                    {"Decode": {}},
                    {"Resize": {"target_size": size, "keep_ratio": False, "interp": interp}},
                    {
                        "NormalizeImage": {
                            "mean": [0.485, 0.456, 0.406],
                            "std": [0.229, 0.224, 0.225],
                            "is_scale": True,
                        }
                    },
                    {"Permute": {}},
                ]
                path = str(Path(skimage.__file__).parent / "data" / picture)
                sample = Compose(transforms, 80)({"im_file": path, "im_id": np.array([0])})
                digests[f"{picture} {size[0]}x{size[1]} {interp}"] = {
                    "sha256": hashlib.sha256(sample["image"].tobytes()).hexdigest(),
                    "scale_factor": sample["scale_factor"].tolist(),
                }
    return digests


def main() -> None:
    """Write tests/golden/."""
    versions = {"paddle": paddle.__version__, "numpy": np.__version__, "cv2": cv2.__version__}
    for name, numbers in MODELS.items():
        recorded = record(build(numbers), seeded.images(*numbers[-1]))
        np.savez_compressed(GOLDEN / f"{name}.npz", **recorded)
    kept: dict[str, Any] = suppressed()
    np.savez_compressed(GOLDEN / "nms.npz", **kept)
    content = {"made_by": "tools/record_golden.py", "versions": versions, **preprocessed()}
    (GOLDEN / "preprocess.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
