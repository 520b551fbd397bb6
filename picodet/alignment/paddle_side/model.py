"""Builds the original detectors from ppdet's parts. Imported in Paddle's process only.

The values are those of configs/picodet of PaddleDetection 666f597. Lists are always passed,
because ppdet's necks append to their default lists (necks/csp_pan.py:275, lc_pan.py:89).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import paddle
from ppdet.modeling.backbones.esnet import ESNet
from ppdet.modeling.backbones.lcnet import ConvBNLayer, LCNet
from ppdet.modeling.backbones.mobilenet_v3 import MobileNetV3
from ppdet.modeling.backbones.resnet import ResNet
from ppdet.modeling.backbones.shufflenet_v2 import ShuffleNetV2
from ppdet.modeling.heads.pico_head import PicoFeat, PicoHead, PicoHeadV2
from ppdet.modeling.layers import MultiClassNMS
from ppdet.modeling.losses import DistributionFocalLoss, GIoULoss
from ppdet.modeling.losses.varifocal_loss import VarifocalLoss
from ppdet.modeling.necks.csp_pan import CSPPAN
from ppdet.modeling.necks.lc_pan import LCPAN

from picodet.config import (
    STRIDES,
    Activation,
    ESNetConfig,
    LCNetConfig,
    MobileNetV3Config,
    ModelConfig,
    ResNetConfig,
    ShuffleNetV2Config,
)
from picodet.errors import RecordingError

# picodet's names -> ppdet's
ACTIVATIONS = {"hardswish": "hard_swish", "relu6": "relu6", "leaky_relu": "leaky_relu"}
STAGE1_CHANNELS = 128  # channels of ESNet's first stage at scale 1
RESNET_DEPTHS = {(2, 2, 2, 2): 18}  # by the numbers of blocks; ResNet18-vd is the only one used
SHUFFLENET_SCALES = {(116, 232, 464): 1.0}  # by the channels of the stages
# PicoHeadV2 registers its predictors in a list and as attributes: head_cls_list.0 is head_cls0
ALIAS = re.compile(r"^head\.(head_cls|head_reg)_list\.(\d+)(?=\.|$)")
# in checkpoints of newer versions: anchor points and strides, which the head of 2.6.0 computes
COMPUTED_BUFFERS = {"head.anchor_points", "head.stride_tensor"}


def build(config: ModelConfig) -> paddle.nn.Layer:
    """A detector in eval mode, untrained, for images of any size."""
    detector = paddle.nn.Layer()
    detector.backbone = BACKBONES[type(config.backbone)](config.backbone)
    detector.neck = NECKS[config.neck](
        in_channels=[shape.channels for shape in detector.backbone.out_shape],
        out_channels=config.channels,
        num_features=len(STRIDES),
        use_depthwise=True,
        act=ACTIVATIONS[config.activation],
        spatial_scales=[0.125, 0.0625, 0.03125],
    )
    detector.head = HEADS[config.head](
        len(config.classes),
        config.reg_max,
        config.channels,
        config.head_convs,
        config.activation,
    )
    detector.eval()
    return detector


def _esnet(config: ESNetConfig) -> ESNet:
    ratios = [mid / stage.channels for stage in config.stages for mid in stage.mid_channels]
    return ESNet(
        scale=config.stages[0].channels / STAGE1_CHANNELS,
        feature_maps=[4, 11, 14],
        channel_ratio=ratios,
    )


def _lcnet(config: LCNetConfig) -> LCNet:
    """ppdet's LCNet. No release has one with a leaky ReLU: its activations are replaced then."""
    leaky = config.activation == "leaky_relu"
    act = ACTIVATIONS["hardswish" if leaky else config.activation]
    backbone = LCNet(config.scale, feature_maps=[3, 4, 5], act=act)
    if leaky:
        for layer in backbone.sublayers():
            if isinstance(layer, ConvBNLayer):
                layer.act = paddle.nn.LeakyReLU()
    return backbone


def _mobilenet(config: MobileNetV3Config) -> MobileNetV3:
    return MobileNetV3(
        scale=config.scale, model_name="large", feature_maps=[7, 13, 16], extra_block_filters=[]
    )


def _resnet(config: ResNetConfig) -> ResNet:
    return ResNet(
        depth=RESNET_DEPTHS[config.blocks],
        variant="d",
        return_idx=[1, 2, 3],
        freeze_at=-1,
        freeze_norm=False,
        norm_decay=0.0,
    )


def _shufflenet(config: ShuffleNetV2Config) -> ShuffleNetV2:
    return ShuffleNetV2(
        scale=SHUFFLENET_SCALES[config.channels], feature_maps=[5, 13, 17], act="leaky_relu"
    )


def build_head(
    num_classes: int,
    reg_max: int,
    channels: int = 8,
    num_convs: int = 1,
    activation: Activation = "hardswish",
) -> PicoHead:
    """ppdet's PicoHead (2021) in eval mode; `channels` are those of the neck."""
    tower = _tower(channels, num_convs, activation)
    built = PicoHead(tower, **_predictors(num_classes, reg_max, channels))
    built.eval()
    return built


def build_head_v2(
    num_classes: int,
    reg_max: int,
    channels: int = 8,
    num_convs: int = 1,
    activation: Activation = "hardswish",
) -> PicoHeadV2:
    """ppdet's PicoHeadV2 (2022) in eval mode; `channels` are those of the neck."""
    tower = _tower(channels, num_convs, activation, use_se=True)
    numbers = _predictors(num_classes, reg_max, channels)
    built = PicoHeadV2(tower, act=ACTIVATIONS[activation], **numbers)
    built.eval()
    return built


def _tower(channels: int, num_convs: int, activation: Activation, use_se: bool = False) -> PicoFeat:
    return PicoFeat(
        feat_in=channels,
        feat_out=channels,
        num_convs=num_convs,
        num_fpn_stride=len(STRIDES),
        norm_type="bn",
        share_cls_reg=True,
        act=ACTIVATIONS[activation],
        use_se=use_se,
    )


def _predictors(num_classes: int, reg_max: int, channels: int) -> dict[str, Any]:
    """Arguments of both heads; without eval_size the anchor points follow the image's size."""
    return {
        "num_classes": num_classes,
        "fpn_stride": list(STRIDES),
        "feat_in_chan": channels,
        "prior_prob": 0.01,
        "reg_max": reg_max,
        "cell_offset": 0.5,
        "loss_class": VarifocalLoss(use_sigmoid=True, iou_weighted=True, loss_weight=1.0),
        "loss_dfl": DistributionFocalLoss(loss_weight=0.25),
        "loss_bbox": GIoULoss(loss_weight=2.0),
        "nms": build_nms(),
    }


def build_nms() -> MultiClassNMS:
    """ppdet's NMS, as in configs/picodet/legacy_model/_base_/picodet_esnet.yml:50."""
    return MultiClassNMS(nms_top_k=1000, keep_top_k=100, score_threshold=0.025, nms_threshold=0.6)


BACKBONES: Mapping[type, Callable[[Any], paddle.nn.Layer]] = {
    ESNetConfig: _esnet,
    LCNetConfig: _lcnet,
    MobileNetV3Config: _mobilenet,
    ResNetConfig: _resnet,
    ShuffleNetV2Config: _shufflenet,
}
NECKS = {"csp_pan": CSPPAN, "lc_pan": LCPAN}
HEADS = {"pico_head": build_head, "pico_head_v2": build_head_v2}


def canonical_name(name: str) -> str:
    """The name of a layer or tensor; of two names the one that older files have too."""
    return ALIAS.sub(r"head.\1\2", name)


def load_weights(detector: paddle.nn.Layer, arrays: Mapping[str, np.ndarray]) -> None:
    """Load a checkpoint strictly. ppdet's loader matches suffixes and skips missing tensors.

    A tensor with two names may be given under either or both. Raises RecordingError for missing or
    unexpected names, other shapes, and two names with different values.
    """
    by_canonical_name: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        first = by_canonical_name.setdefault(canonical_name(name), array)
        if not np.array_equal(first, array, equal_nan=True):
            raise RecordingError(
                f"{canonical_name(name)}: the file has two tensors of it with different values; "
                "expected the same under both names"
            )
    state = {canonical_name(name): value for name, value in detector.state_dict().items()}
    missing = sorted(state.keys() - by_canonical_name.keys())
    if missing:
        raise RecordingError(
            f"the file lacks {len(missing)} tensors of ppdet's model, first {missing[0]}"
        )
    unknown = sorted(by_canonical_name.keys() - state.keys() - COMPUTED_BUFFERS)
    if unknown:
        raise RecordingError(
            f"the file has {len(unknown)} tensors that ppdet's model has not, first {unknown[0]}"
        )
    for name, value in state.items():
        array = by_canonical_name[name]
        if tuple(value.shape) != array.shape:
            raise RecordingError(
                f"{name}: {list(array.shape)}; ppdet's model expects {list(value.shape)}"
            )
        value.set_value(array)


def convert_to_float64(detector: paddle.nn.Layer) -> None:
    """Convert a detector to float64 in place, also the anchor points, which ppdet keeps float32."""
    detector.to(dtype="float64")
    generate = detector.head._generate_anchors

    def generate_float64(*args: Any) -> tuple[paddle.Tensor, ...]:
        return tuple(array.astype("float64") for array in generate(*args))

    detector.head._generate_anchors = generate_float64
