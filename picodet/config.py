"""The numbers that tell one PicoDet from another, each written once.

Sources: the paper (arXiv:2111.00902), and in PaddleDetection 666f597
configs/picodet/legacy_model/_base_/picodet_esnet.yml and the picodet_*.yml beside it.
"""

from dataclasses import dataclass, field, replace

from picodet.class_names import COCO, VOC

STRIDES = (8, 16, 32, 64)  # of the four levels that every PicoDet predicts on, pixels per cell
SIDE_MULTIPLE = 32  # of the input: the neck doubles the maps of stride 32 and 16
MAX_NUMBER = 8192  # of a model, its input size included: beyond it something is damaged


def check_input_size(size: tuple[int, int]) -> None:
    """Raise ValueError for a (height, width) that no model can take."""
    if any(side % SIDE_MULTIPLE or not 0 < side <= MAX_NUMBER for side in size):
        raise ValueError(
            f"input size {size[0]}x{size[1]}: both sides must be multiples of {SIDE_MULTIPLE} "
            f"up to {MAX_NUMBER}"
        )


@dataclass(frozen=True)
class Stage:
    """One stage of ESNet: its first block halves the resolution."""

    channels: int  # out of every block
    mid_channels: tuple[int, ...]  # of each block, what its squeeze-and-excitation sees (S, M, L)


@dataclass(frozen=True)
class Preprocessing:
    """What a picture goes through before the network; mean and std are RGB, of values 0 to 1."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interp: int = 2  # OpenCV's number: 0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos


@dataclass(frozen=True)
class ModelConfig:
    """Everything that has to be known to build a model and to use it."""

    name: str  # "picodet_s_416_coco"; for people, nothing is computed from it
    backbone: str  # its official name, likewise for people
    stages: tuple[Stage, Stage, Stage]  # of the backbone; their ends are strides 8, 16 and 32
    channels: int  # of the neck and of the head
    head_convs: int  # depthwise-separable blocks before each predictor
    classes: tuple[str, ...]
    input_size: tuple[int, int]  # height, width, pixels
    reg_max: int = 7  # each side of a box is a distribution over 0 .. reg_max strides
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


_S = ModelConfig(
    name="picodet_s",
    backbone="esnet_x0_75",
    stages=(
        Stage(96, (88, 48, 48)),
        Stage(192, (96, 120, 96, 120, 96, 96, 96)),
        Stage(384, (192, 192, 192)),
    ),
    channels=96,
    head_convs=2,
    classes=COCO,
    input_size=(416, 416),
)
_M = ModelConfig(
    name="picodet_m",
    backbone="esnet_x1_0",
    stages=(
        Stage(128, (112, 64, 128)),
        Stage(256, (160, 128, 192, 160, 160, 128, 160)),
        Stage(512, (512, 320, 384)),
    ),
    channels=128,
    head_convs=4,
    classes=COCO,
    input_size=(416, 416),
)
_L = ModelConfig(
    name="picodet_l",
    backbone="esnet_x1_25",
    stages=(
        Stage(160, (144, 80, 160)),
        Stage(320, (200, 160, 240, 200, 200, 160, 200)),
        Stage(640, (640, 400, 480)),
    ),
    channels=160,
    head_convs=4,
    classes=COCO,
    input_size=(416, 416),
)

VARIANTS = (_S, _M, _L)


def _official(
    variant: ModelConfig, side: int, data: str, classes: tuple[str, ...] = COCO
) -> ModelConfig:
    name = f"{variant.name}_{side}_{data}"
    return replace(variant, name=name, input_size=(side, side), classes=classes)


CONFIGS = {
    config.name: config
    for config in (
        _official(_S, 320, "coco"),
        _official(_S, 416, "coco"),
        _official(_M, 320, "coco"),
        _official(_M, 416, "coco"),
        _official(_L, 320, "coco"),
        _official(_L, 416, "coco"),
        _official(_L, 640, "coco"),
        _official(_S, 320, "voc", VOC),
        _official(_S, 192, "pedestrian", ("pedestrian",)),
        _official(_S, 320, "pedestrian", ("pedestrian",)),
    )
}
