"""The meta of picodet's files: everything that is needed to use the weights stored with it.

It is stored as a dictionary in a `.pth`, as JSON in the header of a `.safetensors`, in the
`config.json` of a directory and in the metadata of an ONNX. Imports no torch: an exported model is
used without it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from picodet.config import (
    MAX_NUMBER,
    Activation,
    BackboneConfig,
    ESNetConfig,
    Head,
    LCNetConfig,
    MobileNetV3Config,
    ModelConfig,
    Neck,
    ResNetConfig,
    ShuffleNetV2Config,
    Stage,
    check_input_size,
)
from picodet.formats.preprocessing_meta import preprocessing_from_meta, preprocessing_to_meta
from picodet.version import __version__

META_KEY = "picodet"  # its key in a header or in metadata
MAX_SCALE = 16.0  # of a backbone's channels; the widest official one has 2.5
MIN_SCALE = 0.05
MAX_BLOCKS = 16  # in a stage of a backbone, or in a tower of the head

Kind = Literal["detector", "backbone"]
ARCHITECTURES = {"detector": "picodet", "backbone": "picodet_backbone"}


def make_meta(config: ModelConfig, kind: Kind, source: str, sha256: str) -> dict[str, Any]:
    """The meta of a file: what is needed to build the model, and where the weights came from."""
    numbers = dataclasses.asdict(config)
    numbers["preprocessing"] = preprocessing_to_meta(config.preprocessing)
    variant = numbers.pop("name")
    numbers["backbone"] |= {"family": FAMILIES[type(config.backbone)]}
    if kind == "backbone":
        numbers = {"backbone": numbers["backbone"]}
    return {
        "kind": kind,
        "architecture": ARCHITECTURES[kind],
        "variant": variant,
        **numbers,
        "source": source,
        "sha256": sha256,
        "picodet_version": __version__,
    }


def config_from_meta(meta: Mapping[str, Any]) -> ModelConfig:
    """The inverse of `make_meta`, for untrusted files.

    Raises KeyError, TypeError, ValueError or IndexError for an invalid meta of a detector.
    """
    channels, reg_max = _numbers([meta["channels"], meta["reg_max"]])
    (head_convs,) = _numbers([meta["head_convs"]], maximum=MAX_BLOCKS)
    if not isinstance(meta["classes"], list | tuple) or not meta["classes"]:
        raise ValueError(f"classes: found {meta['classes']!r:.60}; expected a list of names")
    if channels % 2:  # a fusion of CSP-PAN halves them
        raise ValueError(f"channels: found {channels}; expected an even number")
    height, width = _numbers(meta["input_size"])
    check_input_size((height, width))
    return ModelConfig(
        name=str(meta["variant"]),
        backbone=backbone_from_meta(meta),
        neck=_one_of(Neck, meta["neck"]),
        head=_one_of(Head, meta["head"]),
        channels=channels,
        head_convs=head_convs,
        classes=tuple(str(name) for name in meta["classes"]),
        input_size=(height, width),
        reg_max=reg_max,
        activation=_one_of(Activation, meta["activation"]),
        preprocessing=preprocessing_from_meta(meta["preprocessing"]),
    )


def bins_from_meta(meta: Mapping[str, Any]) -> tuple[float, ...] | None:
    """The values of the regression bins in the meta of an export; None if it has none.

    Raises TypeError or ValueError if they are not a list of numbers.
    """
    if "project" not in meta:
        return None
    values = meta["project"]
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError("project: expected a list of numbers")
    if not values or not all(abs(value) <= MAX_NUMBER for value in values):
        raise ValueError(f"project: expected a list of numbers up to {MAX_NUMBER}")
    return tuple(float(value) for value in values)


def backbone_from_meta(meta: Mapping[str, Any]) -> BackboneConfig:
    """The backbone of a detector or of a backbone alone; raises as `config_from_meta` does."""
    numbers = meta["backbone"]
    return READERS[numbers["family"]](str(numbers["name"]), numbers)


def _esnet(name: str, numbers: Mapping[str, Any]) -> ESNetConfig:
    first, second, third = (
        Stage(_numbers([stage["channels"]])[0], _numbers(stage["mid_channels"]))
        for stage in numbers["stages"]
    )
    if max(len(stage.mid_channels) for stage in (first, second, third)) > MAX_BLOCKS:
        raise ValueError(f"stages: expected at most {MAX_BLOCKS} blocks in each")
    widths = [width for s in (first, second, third) for width in (s.channels, *s.mid_channels)]
    if any(width % 2 or width < 8 for width in widths):  # they are halved, and halves quartered
        raise ValueError(f"stages: found channels {widths!r:.60}; expected even numbers from 8")
    return ESNetConfig(name, (first, second, third))


def _lcnet(name: str, numbers: Mapping[str, Any]) -> LCNetConfig:
    return LCNetConfig(name, _scale(numbers), _one_of(Activation, numbers["activation"]))


def _mobilenet(name: str, numbers: Mapping[str, Any]) -> MobileNetV3Config:
    return MobileNetV3Config(name, _scale(numbers))


def _resnet(name: str, numbers: Mapping[str, Any]) -> ResNetConfig:
    first, second, third, fourth = _numbers(numbers["blocks"])
    if max(first, second, third, fourth) > 2:  # blocks a and b; no PicoDet has more
        raise ValueError(f"blocks: found {numbers['blocks']!r:.60}; expected at most two each")
    return ResNetConfig(name, (first, second, third, fourth))


def _shufflenet(name: str, numbers: Mapping[str, Any]) -> ShuffleNetV2Config:
    first, second, third = _numbers(numbers["channels"])
    if first % 2 or second % 2 or third % 2:  # they are halved
        raise ValueError(f"channels: found {numbers['channels']!r:.60}; expected even numbers")
    return ShuffleNetV2Config(name, (first, second, third))


FAMILIES: dict[type[BackboneConfig], str] = {
    ESNetConfig: "esnet",
    LCNetConfig: "lcnet",
    MobileNetV3Config: "mobilenet_v3",
    ResNetConfig: "resnet_vd",
    ShuffleNetV2Config: "shufflenet_v2",
}
READERS: dict[str, Callable[[str, Mapping[str, Any]], BackboneConfig]] = {
    "esnet": _esnet,
    "lcnet": _lcnet,
    "mobilenet_v3": _mobilenet,
    "resnet_vd": _resnet,
    "shufflenet_v2": _shufflenet,
}


def _numbers(values: Any, maximum: int = MAX_NUMBER) -> tuple[int, ...]:
    if not all(type(value) is int and 0 < value <= maximum for value in values):
        raise ValueError(f"found {values!r:.60}; expected numbers from 1 to {maximum}")
    return tuple(values)


def _scale(numbers: Mapping[str, Any]) -> float:
    scale = numbers["scale"]
    if type(scale) not in (int, float) or not MIN_SCALE <= scale <= MAX_SCALE:
        raise ValueError(f"scale: found {scale!r:.20}; expected {MIN_SCALE} to {MAX_SCALE}")
    return float(scale)


def _one_of(words: Any, value: Any) -> Any:
    if value not in get_args(words):
        raise ValueError(f"found {value!r:.20}; expected one of {get_args(words)}")
    return value
