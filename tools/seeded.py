"""Checkpoints and pictures made of seeded numbers: the same on every machine.

    python tools/seeded.py picodet_s_416_coco picodet_s_416_coco.pdparams

writes a checkpoint as paddle.save does, for tests and for the demo. Each tensor is made from its
name alone, so that ppdet's model and ours can be filled alike without a file between them.
np.random.RandomState, not Generator: its streams are frozen for good.
"""

import pickle
import sys
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np

from picodet.config import CONFIGS, VARIANTS, ModelConfig

Shape = tuple[int, ...]

_S, _M, _L = VARIANTS
RECORDED = {  # in tests/golden, small pictures; the last is none of the official ones
    "picodet_s": replace(_S, input_size=(160, 96)),
    "picodet_m": replace(_M, input_size=(128, 128)),
    "picodet_l": replace(_L, input_size=(96, 160)),
    "picodet_s_3_classes_reg_max_11_depth_3": replace(
        _S, classes=("a", "b", "c"), reg_max=11, head_convs=3, input_size=(128, 96)
    ),
}


def tensor(name: str, shape: Shape) -> np.ndarray:
    """The float32 value of a tensor by ppdet's name for it; activations stay of order 1."""
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
        gain = 0.45 if ".head_cls" in owner else 2**0.5
        value = random.normal(0, gain / np.prod(shape[1:]) ** 0.5, shape)
    elif ".head_cls" in owner:  # few scores beyond the threshold, many above it
        value = random.normal(-3, 0.5, shape)
    else:
        value = random.normal(0, 0.3, shape)
    return value.astype(np.float32)


def checkpoint(shapes: dict[str, Shape]) -> dict[str, np.ndarray]:
    """Every tensor of these names in ppdet's spelling."""
    return {name: tensor(name, shape) for name, shape in shapes.items()}


def images(height: int, width: int) -> np.ndarray:
    """[1, 3, height, width] float32: a normalised picture of noise on a slope."""
    noise = np.random.RandomState(height * width).normal(0, 0.5, (1, 3, height, width))
    return (noise + np.linspace(-1.5, 1.5, width)).astype(np.float32)


def shapes(config: ModelConfig) -> dict[str, Shape]:
    """The tensors of a ppdet checkpoint of this config, by ppdet's names."""
    from picodet.converter.rules import PICODET_2021  # noqa: PLC0415 (the recorder has no torch)
    from picodet.models.picodet import PicoDet  # noqa: PLC0415

    state_dict = PicoDet(config).state_dict()
    names = {name: PICODET_2021.to_paddle(name) for name in state_dict}
    found = {there.name: tuple(state_dict[name].shape) for name, there in names.items() if there}
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
