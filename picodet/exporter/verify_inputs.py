"""The inputs that an export is verified with: real images, in every form that it takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from math import ceil
from pathlib import Path

import numpy as np

from picodet.config import SIZE_DIVISOR, ModelConfig
from picodet.data.preprocess import preprocess, read_image
from picodet.exporter.options import ExportOptions

BUNDLED_IMAGE = Path(__file__).parent.parent / "alignment" / "recording" / "astronaut.png"


@dataclass(frozen=True)
class VerifyInputs:
    """The inputs of one run."""

    images: np.ndarray  # [B, 3, H, W] float32, preprocessed
    scale_factors: np.ndarray  # [B, 2] float32 (y, x)


def make_verify_inputs(
    config: ModelConfig, options: ExportOptions, image_paths: Sequence[Path]
) -> Iterator[VerifyInputs]:
    """Every image and its left half, which has another scale factor.

    In batches of the fixed size, or of one and of two; at the fixed input size, or at the model's
    own and at one that is not square. Raises ImageError for an image that cannot be used.
    """
    # any image of the right size will do, whatever is done to images before
    preprocessing = replace(config.preprocessing, padding=None, unsupported="")
    whole = [read_image(path) for path in image_paths or (BUNDLED_IMAGE,)]
    views = [view for image in whole for view in (image, image[:, : ceil(image.shape[1] / 2)])]
    for size in _sizes(config, options):
        prepared = [preprocess(view, size, preprocessing) for view in views]
        batches = (1, 2) if options.batch == "dynamic" else (options.batch,)
        for batch in batches:
            for first in range(0, len(prepared), batch):
                images, factors = zip(*islice(cycle(prepared), first, first + batch), strict=True)
                yield VerifyInputs(np.stack(images), np.stack(factors))


def _sizes(config: ModelConfig, options: ExportOptions) -> tuple[tuple[int, int], ...]:
    if options.input_size != "dynamic":
        return (options.input_size or config.input_size,)
    height, width = config.input_size
    return (height, width), (max(height - SIZE_DIVISOR, SIZE_DIVISOR), width + SIZE_DIVISOR)
