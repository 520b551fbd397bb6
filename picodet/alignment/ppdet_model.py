"""The real detector, put together from ppdet's parts. Imported in Paddle's own process only."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import paddle
from ppdet.modeling.backbones.esnet import ESNet
from ppdet.modeling.heads.pico_head import PicoFeat, PicoHead
from ppdet.modeling.layers import MultiClassNMS
from ppdet.modeling.losses import DistributionFocalLoss, GIoULoss
from ppdet.modeling.losses.varifocal_loss import VarifocalLoss
from ppdet.modeling.necks.csp_pan import CSPPAN

from picodet.config import STRIDES, ModelConfig
from picodet.errors import RecordingError

UNSCALED = 128  # channels of ESNet's first stage at scale 1


def build(config: ModelConfig) -> paddle.nn.Layer:
    """A detector in eval mode, with the numbers of configs/picodet/legacy_model/*.yml.

    One per process: ppdet's CSPPAN appends to a default list (necks/csp_pan.py:275); passing the
    list keeps a second one right all the same.
    """
    ratios = [mid / stage.channels for stage in config.stages for mid in stage.mid_channels]
    detector = paddle.nn.Layer()
    detector.backbone = ESNet(scale=config.stages[0].channels / UNSCALED, channel_ratio=ratios)
    detector.neck = CSPPAN(
        in_channels=[shape.channels for shape in detector.backbone.out_shape],
        out_channels=config.channels,
        num_features=len(STRIDES),
        num_csp_blocks=1,
        use_depthwise=True,
        spatial_scales=[0.125, 0.0625, 0.03125],
    )
    detector.head = head(len(config.classes), config.reg_max, config.channels, config.head_convs)
    detector.eval()
    return detector


def head(num_classes: int, reg_max: int, channels: int = 8, num_convs: int = 1) -> PicoHead:
    """A PicoHead in eval mode."""
    built = PicoHead(
        conv_feat=PicoFeat(
            feat_in=channels,
            feat_out=channels,
            num_convs=num_convs,
            num_fpn_stride=len(STRIDES),
            norm_type="bn",
            share_cls_reg=True,
        ),
        num_classes=num_classes,
        fpn_stride=list(STRIDES),
        feat_in_chan=channels,
        prior_prob=0.01,
        reg_max=reg_max,
        cell_offset=0.5,
        loss_class=VarifocalLoss(use_sigmoid=True, iou_weighted=True, loss_weight=1.0),
        loss_dfl=DistributionFocalLoss(loss_weight=0.25),
        loss_bbox=GIoULoss(loss_weight=2.0),
        nms=nms(),
    )
    built.eval()
    return built


def nms() -> MultiClassNMS:
    """As in configs/picodet/legacy_model/_base_/picodet_esnet.yml:50."""
    return MultiClassNMS(nms_top_k=1000, keep_top_k=100, score_threshold=0.025, nms_threshold=0.6)


def fill(detector: paddle.nn.Layer, arrays: Mapping[str, np.ndarray]) -> None:
    """Load a checkpoint strictly. ppdet's own loader matches suffixes and skips what is missing.

    Raises RecordingError where the names or the shapes are not the detector's.
    """
    state = detector.state_dict()
    missing = sorted(state.keys() - arrays.keys())
    if missing:
        raise RecordingError(f"ppdet's model has {len(missing)} more tensors, first {missing[0]}")
    for name, value in state.items():
        if tuple(value.shape) != arrays[name].shape:
            raise RecordingError(
                f"{name}: {list(arrays[name].shape)}, ppdet's model has {list(value.shape)}"
            )
        value.set_value(arrays[name])


def in_float64(detector: paddle.nn.Layer) -> None:
    """Everything in double, the cells' centres too, which ppdet makes in float32 whatever comes."""
    detector.to(dtype="float64")
    generate = detector.head._generate_anchors

    def generate_in_float64(*args: Any) -> tuple[paddle.Tensor, ...]:
        return tuple(array.astype("float64") for array in generate(*args))

    detector.head._generate_anchors = generate_in_float64
