"""What has to be known to build a PicoDet and to use it: plain numbers, the leaf of the package.

`picodet.zoo.architectures` holds the architectures that PaddleDetection has,
`picodet.zoo.official` its configs.
"""

from dataclasses import dataclass, field
from math import ceil
from typing import Literal

STRIDES = (8, 16, 32, 64)  # of the four levels that every PicoDet predicts on, pixels per cell
SIZE_DIVISOR = 32  # of the input: the neck doubles the maps of stride 32 and 16
MAX_NUMBER = 8192  # upper limit of every number of a config; a larger one means a damaged file

Activation = Literal["hardswish", "relu6", "leaky_relu"]
Neck = Literal["csp_pan", "lc_pan"]
Head = Literal["pico_head", "pico_head_v2"]
# OpenCV's kernels for this CPU, or those that give the same bits on every CPU
ResizeKernels = Literal["native", "portable"]


def check_input_size(size: tuple[int, int]) -> None:
    """Raise ValueError for a (height, width) that no model can take."""
    if any(side % SIZE_DIVISOR or not 0 < side <= MAX_NUMBER for side in size):
        raise ValueError(
            f"input size {size[0]}x{size[1]}: both sides must be multiples of {SIZE_DIVISOR} "
            f"up to {MAX_NUMBER}"
        )


FeatureMapSize = tuple[int, int]  # height, width


def feature_map_sizes(input_size: tuple[int, int]) -> tuple[FeatureMapSize, ...]:
    """(height, width) of each level's feature map for an input of (height, width), rounded up."""
    height, width = input_size
    return tuple((ceil(height / stride), ceil(width / stride)) for stride in STRIDES)


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, at least one and at least 0.9 * channels.

    MobileNet's rule for widths (arXiv:1905.02244).
    """
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


@dataclass(frozen=True)
class Stage:
    """One stage of ESNet: its first block halves the resolution."""

    channels: int  # out of every block
    mid_channels: tuple[int, ...]  # of each block, at its squeeze-and-excitation (S, M, L)


@dataclass(frozen=True)
class ESNetConfig:
    """The backbone of 2021 (arXiv:2111.00902, section 3.1)."""

    name: str  # official name, for display only: "esnet_x0_75"
    stages: tuple[Stage, Stage, Stage]  # their ends are strides 8, 16 and 32


@dataclass(frozen=True)
class LCNetConfig:
    """PP-LCNet (arXiv:2109.15099), the backbone of 2022 and of most others."""

    name: str
    scale: float  # of all numbers of channels in the paper's table 1
    activation: Activation = "hardswish"


@dataclass(frozen=True)
class MobileNetV3Config:
    """MobileNetV3-large (arXiv:1905.02244)."""

    name: str
    scale: float  # of all numbers of channels in the paper's table 1


@dataclass(frozen=True)
class ResNetConfig:
    """ResNet-vd (arXiv:1812.01187) of basic blocks."""

    name: str
    blocks: tuple[int, int, int, int]  # how many in each stage


@dataclass(frozen=True)
class ShuffleNetV2Config:
    """ShuffleNetV2 (arXiv:1807.11164)."""

    name: str
    channels: tuple[int, int, int]  # out of each stage


BackboneConfig = ESNetConfig | LCNetConfig | MobileNetV3Config | ResNetConfig | ShuffleNetV2Config


@dataclass(frozen=True)
class Padding:
    """A resize to another size than the network's input, which is padded on the right and below.

    Steps of deploy/python/preprocess.py of PaddleDetection, in its order: Resize, Pad, PadStride.
    """

    target_size: tuple[int, int]  # height, width of Resize
    keep_ratio: bool = False  # one scale for both: its short and long side limit the image's
    size: tuple[int, int] | None = None  # of Pad, which fills before the normalization
    fill: tuple[float, float, float] = (114.0, 114.0, 114.0)  # of Pad: RGB, 0 to 255
    stride: int = 0  # of PadStride: sides become multiples of it, filled with zeros after it


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of an image; mean and std are RGB, of values from 0 to 1."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interp: int = 2  # OpenCV's number: 0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos
    resize: ResizeKernels = "native"  # see picodet.data.resize_kernels
    is_scale: bool = True  # False: mean and std are of values from 0 to 255
    padding: Padding | None = None  # None: resized to the network's input, as all of ppdet's are
    unsupported: str = ""  # the step that picodet does not carry out; no image can be preprocessed


@dataclass(frozen=True)
class NMSSettings:
    """Numbers of NMS; the defaults are those of ppdet's PicoDet configs."""

    score_threshold: float = 0.025  # candidates have a greater score
    iou_threshold: float = 0.6  # a greater IoU suppresses
    top_k: int = 1000  # candidates of each class, the best (nms_top_k)
    keep_top_k: int = 100  # detections of all classes, the best


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build a model and to run it."""

    name: str  # "picodet_s_416_coco"; for display only
    backbone: BackboneConfig
    neck: Neck
    head: Head
    channels: int  # of the neck and of the head
    head_convs: int  # depthwise-separable blocks before the predictors
    classes: tuple[str, ...]
    input_size: tuple[int, int]  # height, width, pixels
    reg_max: int = 7  # each side of a box is a distribution over 0 .. reg_max strides
    activation: Activation = "hardswish"  # of the neck and of the head
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
