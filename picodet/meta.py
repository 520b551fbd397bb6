"""The meta of our files: everything that has to be known to use the weights beside it.

It travels as a dictionary in a `.pth`, as JSON in the header of a `.safetensors` and in the
metadata of an ONNX. No torch: an exported model is used without it.
"""

import dataclasses
from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal

from picodet import __version__
from picodet.config import MAX_NUMBER, ModelConfig, Preprocessing, Stage, check_input_size

HEADER = "picodet"  # its key in a header or in metadata

Kind = Literal["detector", "backbone"]
ARCHITECTURES = {"detector": "picodet_2021", "backbone": "esnet"}


def describe(config: ModelConfig, kind: Kind, source: str, sha256: str) -> dict[str, Any]:
    """The meta of a file: what has to be known to build the model, and where it came from."""
    numbers = dataclasses.asdict(config)
    variant = numbers.pop("name")
    if kind == "backbone":
        numbers = {"stages": numbers["stages"]}
    return {
        "kind": kind,
        "architecture": ARCHITECTURES[kind],
        "variant": variant,
        **numbers,
        "source": source,
        "sha256": sha256,
        "picodet_version": __version__,
    }


def config_of(meta: Mapping[str, Any]) -> ModelConfig:
    """The inverse of `describe`; a file is not trusted to hold what it should.

    Raises KeyError, TypeError, ValueError or IndexError for what is no meta of a detector.
    """
    channels, head_convs, reg_max = _numbers(
        [meta["channels"], meta["head_convs"], meta["reg_max"]]
    )
    height, width = _numbers(meta["input_size"])
    check_input_size((height, width))
    preprocessing = meta["preprocessing"]
    mean, std = ([float(v) for v in preprocessing[key]] for key in ("mean", "std"))
    interp = preprocessing["interp"]
    if interp not in range(5) or not all(map(isfinite, (*mean, *std))) or min(std) <= 0:
        raise ValueError(f"interp {interp!r:.20}, a mean of {mean!r:.60} or a std of {std!r:.60}")
    return ModelConfig(
        name=str(meta["variant"]),
        backbone=str(meta["backbone"]),
        stages=stages_of(meta),
        channels=channels,
        head_convs=head_convs,
        classes=tuple(str(name) for name in meta["classes"]),
        input_size=(height, width),
        reg_max=reg_max,
        preprocessing=Preprocessing(
            mean=(mean[0], mean[1], mean[2]),
            std=(std[0], std[1], std[2]),
            interp=interp,
        ),
    )


def stages_of(meta: Mapping[str, Any]) -> tuple[Stage, Stage, Stage]:
    """The backbone's; raises as `config_of` does."""
    first, second, third = (
        Stage(_numbers([stage["channels"]])[0], _numbers(stage["mid_channels"]))
        for stage in meta["stages"]
    )
    widths = [width for s in (first, second, third) for width in (s.channels, *s.mid_channels)]
    if any(width % 2 or width < 8 for width in widths):  # they are halved, and halves quartered
        raise ValueError(f"even numbers from 8 expected, found {widths!r:.60}")
    return first, second, third


def _numbers(values: Any) -> tuple[int, ...]:
    if not all(type(value) is int and 0 < value <= MAX_NUMBER for value in values):
        raise ValueError(f"numbers of 1 to {MAX_NUMBER} expected, found {values!r:.60}")
    return tuple(values)
