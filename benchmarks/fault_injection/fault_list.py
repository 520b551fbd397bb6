"""The faults that benchmarks/fault_injection/faults.py plants in a PicoDet-S, one at a time.

They are mistakes found in ports, and some that are hard to see. Here are those before and after the
layers, and those that only float64 shows.
"""

from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.fault_injection import wrong_layers as layers
from benchmarks.fault_injection import wrong_steps as steps
from benchmarks.fault_injection.faults_in_layers import (
    ACTIVATIONS,
    B3,
    ORDERS,
    SETTINGS,
    TOP_DOWN,
    WEIGHTS,
)
from benchmarks.fault_injection.planting import (
    Fault,
    attribute_fault,
    bins_fault,
    class_names_fault,
    forward_fault,
    integral_fault,
    postprocessing_fault,
    preprocessing_fault,
    preprocessing_numbers,
)

GRAY_LEVEL = 1 / 255
BELOW = {value: np.nextafter(np.float32(value), np.float32(0)) for value in (0.025, 0.6)}

DECODING = (
    integral_fault("softmax over the sides", softmax=lambda bins: bins.softmax(dim=1)),
    integral_fault("softmax over the anchor points", softmax=lambda bins: bins.softmax(dim=3)),
    integral_fault("softmax left out", softmax=layers.same),
    integral_fault("bins counted from 1", first=1),
    integral_fault("channels read bin by bin", by_bin=True),
    postprocessing_fault(
        "anchor points at the corners",
        "decoding",
        make_anchor_points=steps.anchor_points_with(lambda c, _: c - 0.5),
    ),
    postprocessing_fault(
        "anchor points half a pixel off",
        "decoding",
        make_anchor_points=steps.anchor_points_with(lambda c, s: c - 0.5 / s),
    ),
    postprocessing_fault(
        "x and y of the anchor points exchanged",
        "decoding",
        make_anchor_points=steps.anchor_points_with(lambda c, _: c[:, ::-1]),
    ),
    postprocessing_fault(
        "stride 32 for 64",
        "decoding",
        make_anchor_points=steps.anchor_points_with(lambda c, _: c, 32),
    ),
    postprocessing_fault(
        "left and top exchanged", "decoding", distances_to_boxes=steps.boxes_of([1, 0, 3, 2])
    ),
    postprocessing_fault(
        "boxes clipped to the input",
        "decoding",
        decode=steps.decode_then(boxes=lambda x: x.clamp(min=0)),
    ),
    postprocessing_fault(
        "softmax over the classes",
        "decoding",
        decode=steps.decode_then(scores=lambda x: x.logit().softmax(dim=1)),
    ),
)

nms = partial(postprocessing_fault, stage="NMS")
NMS = (
    nms("IoU 0.61", multiclass_nms=steps.nms_with(iou_threshold=0.61)),
    nms("IoU 0.5", multiclass_nms=steps.nms_with(iou_threshold=0.5)),
    nms("IoU >= for >", multiclass_nms=steps.nms_with(iou_threshold=BELOW[0.6])),
    nms("score >= for >", multiclass_nms=steps.nms_with(score_threshold=BELOW[0.025])),
    nms("score threshold 0.05", multiclass_nms=steps.nms_with(score_threshold=0.05)),
    nms("keep_top_k 99", multiclass_nms=steps.nms_with(keep_top_k=99)),
    nms("nms_top_k 999", multiclass_nms=steps.nms_with(top_k=999)),
    nms("IoU of boxes a pixel longer", multiclass_nms=steps.nms_plus_one),
    nms("NMS over all classes", multiclass_nms=steps.nms_over_all),
    nms("last of equal scores first", multiclass_nms=steps.nms_last_of_equal),
    nms("sorted by score, not by class", multiclass_nms=steps.nms_by_score),
    nms("scale factor (x, y)", apply_nms=steps.apply_nms_with(factor=lambda yx: yx[::-1])),
    nms(
        "boxes clipped to the image",
        apply_nms=steps.apply_nms_with(after=lambda b: b.clip(min=0)),
    ),
)

PREPROCESSING = (
    preprocessing_fault("BGR for RGB", "normalize", normalize=steps.normalize_with(bgr=True)),
    preprocessing_fault(
        "mean and std in BGR order",
        "normalize",
        normalize=steps.normalize_with(numbers_reversed=True),
    ),
    preprocessing_fault("not divided by 255", "normalize", normalize=steps.normalize_with(scale=1)),
    preprocessing_fault("divided by 256", "normalize", normalize=steps.normalize_with(scale=256)),
    preprocessing_fault(
        "normalized by one factor and offset",
        "normalize",
        normalize=steps.normalize_with(in_one=True),
    ),
    preprocessing_fault("linear, whatever interp says", "resize", resize=steps.resize_with(1)),
    preprocessing_fault(
        "resized as floats", "resize", resize=steps.floats, normalize=steps.normalize_with()
    ),
    preprocessing_fault("proportions kept", "resize", resize=steps.letterbox),
    preprocessing_fault("height and width exchanged", "probe", resize=steps.size_swapped),
    preprocessing_numbers(
        "interp 1 for 2", ("settings: interp", "resize"), lambda _: {"interp": 1}
    ),
    preprocessing_numbers(
        "green's mean off by one gray level",
        ("settings: mean", "normalize"),
        lambda old: {"mean": (old.mean[0], old.mean[1] + GRAY_LEVEL, old.mean[2])},
    ),
    preprocessing_numbers(
        "std of red and blue exchanged",
        ("settings: std", "normalize"),
        lambda old: {"std": old.std[::-1]},
    ),
    preprocessing_numbers(
        "mean and std 0.5",
        ("settings: mean", "settings: std", "normalize"),
        lambda _: {"mean": (0.5,) * 3, "std": (0.5,) * 3},
    ),
)

IN_FLOAT64 = (
    forward_fault(
        "slope 1/6 for 0.1666667", f"{B3}.block2.se", layers.squeeze_excite(F.hardsigmoid), True
    ),
    attribute_fault("epsilon 1e-5 in float64", "neck.first_top_conv.bn1", eps=1e-5, float64=True),
    forward_fault(
        "convolution in float32",
        f"{TOP_DOWN}.1.main_conv.conv",
        layers.rounded(torch.float32),
        True,
    ),
)

BINS = (
    bins_fault("bins times 1.0001", lambda project: project * 1.0001),
    bins_fault("bins times 1.001", lambda project: project * 1.001),
    bins_fault("bins times 1.019", lambda project: project * 1.019),
    bins_fault("bins not even", lambda project: project + 0.01 * project.sin()),
)

NAMES = (
    class_names_fault("classes in reverse order", lambda names: names[::-1]),
    class_names_fault("a class renamed", lambda names: (*names[:-1], "brush")),
)

FAULTS: tuple[Fault, ...] = (
    *WEIGHTS,
    *SETTINGS,
    *ACTIVATIONS,
    *ORDERS,
    *DECODING,
    *NMS,
    *PREPROCESSING,
    *BINS,
    *NAMES,
    *IN_FLOAT64,
)
