"""Reads the weights and the config of a ppdet checkpoint, without Paddle."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from picodet.alignment.recording.index import PreprocessingSettings
from picodet.config import ModelConfig
from picodet.converter.configure import NAME_WITH_SIZE, ConvertOptions, FileHints, resolve_config
from picodet.converter.names.recognize import recognize_detector
from picodet.converter.paddle_checkpoints import read_checkpoint, read_training_folder
from picodet.errors import RecordingError
from picodet.formats.precision import as_float32


class Checkpoint(NamedTuple):
    """The content of a file of weights."""

    path: Path
    config: ModelConfig
    weights: dict[str, np.ndarray]  # float32, by ppdet's names


def load(
    reference: Path,
    input_size: tuple[int, int] | None,
    settings: PreprocessingSettings | None = None,
) -> Checkpoint:
    """Read a `.pdparams` or `.pdema`, or a training output folder.

    settings: the preprocessing, if known; otherwise `input_size` (height, width) is used if the
    file's name has no size. Raises RecordingError for what is not a PicoDet, and what
    read_checkpoint raises.
    """
    is_folder = reference.is_dir()
    checkpoint = (read_training_folder if is_folder else read_checkpoint)(reference, None)
    weights = {}
    for name, array in checkpoint.arrays.items():
        weight = as_float32(array)
        if weight is not None:
            weights[name] = weight
    config = _config(reference, input_size, settings, checkpoint.hints, weights)
    return Checkpoint(checkpoint.origin.path, config, weights)


def _config(
    reference: Path,
    input_size: tuple[int, int] | None,
    known_settings: PreprocessingSettings | None,
    hints: FileHints,
    weights: dict[str, np.ndarray],
) -> ModelConfig:
    """The config by the tensors and the file's name; the size may have to be given."""
    recognized = recognize_detector({name: array.shape for name, array in weights.items()})
    if recognized is None:
        raise RecordingError(
            f"{reference}: not a PicoDet that this version knows; picodet-convert shows how its "
            "tensors differ"
        )
    size = None if NAME_WITH_SIZE.search(hints.name) else input_size
    config = resolve_config(recognized, hints, ConvertOptions(input_size=size)).config
    if known_settings is None:
        return config
    return replace(
        config, input_size=known_settings.size, preprocessing=known_settings.preprocessing
    )
