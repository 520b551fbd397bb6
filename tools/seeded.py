"""Checkpoints and pictures made of seeded numbers: the same on every machine.

    python tools/seeded.py picodet_s_416_coco picodet_s_416_coco.pdparams

writes a checkpoint as paddle.save does, for tests and for the demo. Each tensor is made from its
name and shape, so that ppdet's model and ours can be filled alike without a file between them.
np.random.RandomState, not Generator: its streams are frozen for good.
"""

import pickle
import re
import sys
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np

from picodet.config import ModelConfig
from picodet.official import CONFIGS
from picodet.variants import S

Shape = tuple[int, ...]

# PicoHeadV2 has its predictors under two names each, and a state_dict has both
SECOND_NAME = re.compile(r"^head\.(head_cls|head_reg)_list\.(\d+)\.")
FIRST_NAME = re.compile(r"^head\.(head_cls|head_reg)(\d+)\.")


def _small(size: tuple[int, int]) -> tuple[int, int]:
    """About a quarter of it, and never a square: sides that change places shall show."""
    height, width = (max(96, -(-side // 128) * 32) for side in size)
    return height, width + 32


GAINS = {  # of all other convolutions the square root of 2
    r"\.head_(cls|reg)": 0.45,
    r"\.(linear_conv|branch2b|short)\.": 0.5,  # the last of what is added up
}
MEANS = {  # of biases; of all others 0, and nearer to it
    r"\.head_cls": -3,  # few scores beyond the threshold, many above it
    r"\.cls_align\.\d\.bn1\.": 1,  # its one channel shall not be cut off whole
    r"\.cls_align\.\d\.bn2\.": -5,  # the score is a mean of two
}
ODD = "picodet_s_3_classes_reg_max_11_depth_3"  # none of the official ones
RECORDED = {  # in tests/golden, small pictures
    **{name: replace(c, input_size=_small(c.input_size)) for name, c in CONFIGS.items()},
    ODD: replace(
        S, name=ODD, classes=("a", "b", "c"), reg_max=11, head_convs=3, input_size=(128, 96)
    ),
}
LAYER_SAMPLES, ENDING_SAMPLES = 2, 32


def tensor(name: str, shape: Shape) -> np.ndarray:
    """The float32 value of a tensor by ppdet's name for it; activations stay of order 1."""
    name = SECOND_NAME.sub(r"head.\1\2.", name)
    random = np.random.RandomState(crc32(name.encode()))
    owner, leaf = name.rsplit(".", 1)
    normed = any(part in owner for part in ("norm", ".bn"))
    value: np.ndarray
    if leaf == "project":
        value = np.arange(shape[0])
    elif leaf == "_mean":
        value = random.normal(0, 0.3, shape)
    elif leaf == "_variance" or (normed and leaf == "weight"):
        value = random.uniform(0.5, 1.5, shape)
    elif leaf == "weight":
        value = random.normal(0, _gain(owner, shape) / np.prod(shape[1:]) ** 0.5, shape)
    else:
        means = (mean for pattern, mean in MEANS.items() if re.search(pattern, name))
        mean = next(means, None)
        value = random.normal(0, 0.3, shape) if mean is None else random.normal(mean, 0.5, shape)
    return value.astype(np.float32)


def _gain(owner: str, shape: Shape) -> float:
    """Of a convolution: what it makes of the magnitude of its inputs, before half is cut off."""
    # ShuffleNetV2 has ESNet's names; its channels tell it, and nothing in it dampens
    if owner.startswith("backbone.") and shape[0] % 58 == 0:
        return 0.9
    return next((gain for pattern, gain in GAINS.items() if re.search(pattern, owner)), 2**0.5)


def checkpoint(shapes: dict[str, Shape]) -> dict[str, np.ndarray]:
    """Every tensor of these names in ppdet's spelling."""
    return {name: tensor(name, shape) for name, shape in shapes.items()}


def images(height: int, width: int) -> np.ndarray:
    """[1, 3, height, width] float32: a normalised picture of noise on a slope."""
    noise = np.random.RandomState(height * width).normal(0, 0.5, (1, 3, height, width))
    return (noise + np.linspace(-1.5, 1.5, width)).astype(np.float32)


def digest(array: np.ndarray, samples: int) -> np.ndarray:
    """Some of its values, its greatest magnitude and a mean that sees it when values change places.

    The values are taken from places that depend on the size alone.
    """
    flat = array.ravel()
    places = (np.random.RandomState(flat.size).uniform(0, 1, samples) * flat.size).astype(int)
    mean = (flat * np.linspace(0, 2, flat.size)).mean()
    return np.array([*flat[places], np.abs(flat).max(), mean])


def architecture(config: ModelConfig) -> str:
    """What the names of the layers depend on."""
    return f"{config.backbone.name} {config.neck} {config.head} {config.head_convs}"


def shapes(config: ModelConfig) -> dict[str, Shape]:
    """The tensors of a ppdet checkpoint of this config, by ppdet's names."""
    # the recorder has no torch
    from picodet.converter.name_tables import name_table  # noqa: PLC0415
    from picodet.models.picodet import PicoDet  # noqa: PLC0415

    table = name_table(config.backbone, config.neck, config.head)
    state_dict = PicoDet(config).state_dict()
    names = {name: table.to_paddle(name) for name in state_dict}
    found = {there.name: tuple(state_dict[name].shape) for name, there in names.items() if there}
    if config.head == "pico_head_v2":
        found |= {FIRST_NAME.sub(r"head.\1_list.\2.", name): found[name] for name in found}
    return found | {f"head.p{level}_feat.scale_reg": (1,) for level in (3, 4, 5, 6)}


def write(arrays: dict[str, np.ndarray], path: Path) -> None:
    """A `.pdparams` as paddle.save writes it."""
    names = {name: f"parameter_{i}.w_0" for i, name in enumerate(arrays)}
    content = {**arrays, "StructuredToParameterName@@": names}
    path.write_bytes(pickle.dumps(content, protocol=4))


def main(name: str, path: str) -> None:
    """Write a checkpoint of the official config `name`."""
    write(checkpoint(shapes(CONFIGS[name])), Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
