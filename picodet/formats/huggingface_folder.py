"""Reads and writes a detector as a directory in Hugging Face's form.

    config.json               architecture, class names, and picodet's meta
    model.safetensors         the weights by picodet's names; or, written by others, several such
                              files and model.safetensors.index.json
    modeling_picodet.py       classes for Hugging Face's transformers; picodet does not read it
    preprocessor_config.json  size, mean, std, interpolation

Class names are read from `id2label` and the preprocessing from `preprocessor_config.json`, so both
may be changed there; `resample` and `opencv_interp` have to agree.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from picodet.errors import CheckpointError
from picodet.files import atomic_write_folder, regular_file, write_json
from picodet.formats import safetensors_writer
from picodet.formats.meta import META_KEY
from picodet.formats.shards import SUFFIX
from picodet.formats.strict_json import unique_keys

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = f"model{SUFFIX}"  # where others wrote several files
PREPROCESSOR = "preprocessor_config.json"
MODELING = "modeling_picodet.py"
MAX_BYTES = 2_000_000  # of a JSON file
STEPS = {  # of the preprocessing that are always done
    "do_resize": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
}
PIL_RESAMPLE = {0: 0, 1: 2, 2: 3, 3: 4, 4: 1}  # OpenCV's interpolations -> PIL's nearest ones

# Subclasses, as transformers copies the file that defines a class when it saves a model.
MODELING_TEXT = '''"""The classes with which transformers loads this directory: picodet's."""

from picodet.inference import transformers_classes


class PicoDetConfig(transformers_classes.PicoDetConfig):
    """The architecture and the class names."""


class PicoDetForObjectDetection(transformers_classes.PicoDetForObjectDetection):
    """The network."""

    config_class = PicoDetConfig


class PicoDetImageProcessor(transformers_classes.PicoDetImageProcessor):
    """The preprocessing, and the post-processing."""
'''
AUTO_CLASSES = {  # of transformers, and which class of the file above each of them loads
    "AutoConfig": "PicoDetConfig",
    "AutoModelForObjectDetection": "PicoDetForObjectDetection",
    "AutoImageProcessor": "PicoDetImageProcessor",
}


def is_hub_folder(path: Path) -> bool:
    """Whether a directory has this form."""
    return (path / CONFIG).is_file() and weights_of(path).is_file()


def weights_of(path: Path) -> Path:
    """The file that holds the weights, or the index of several files."""
    whole = path / WEIGHTS
    return whole if whole.is_file() else path / INDEX


def write(path: Path, weights: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write a detector, whole or not at all; other files in the directory stay."""
    own = dict(meta)
    classes, numbers = own.pop("classes"), own.pop("preprocessing")
    height, width = own.pop("input_size")
    labels = {str(i): name for i, name in enumerate(classes)}
    config = {
        "model_type": "picodet",
        "architectures": [AUTO_CLASSES["AutoModelForObjectDetection"]],
        "auto_map": _auto_map("AutoConfig", "AutoModelForObjectDetection"),
        "id2label": labels,
        "label2id": {name: i for i, name in enumerate(classes)},
        META_KEY: own,
    }
    preprocessor = {
        "image_processor_type": AUTO_CLASSES["AutoImageProcessor"],
        "auto_map": _auto_map("AutoImageProcessor"),
        **STEPS,
        "size": {"height": height, "width": width},
        "resample": PIL_RESAMPLE[numbers["interp"]],
        "opencv_interp": numbers["interp"],
        "opencv_kernels": numbers["resize"],
        "do_rescale": numbers.get("is_scale", True),
        "image_mean": list(numbers["mean"]),
        "image_std": list(numbers["std"]),
        **{name: numbers[name] for name in ("padding", "unsupported") if name in numbers},
    }
    with atomic_write_folder(path) as temporary:
        with (temporary / WEIGHTS).open("wb") as file:
            safetensors_writer.write(file, weights, {"format": "pt"})
        write_json(temporary / CONFIG, config)
        write_json(temporary / PREPROCESSOR, preprocessor)
        (temporary / MODELING).write_text(MODELING_TEXT, encoding="utf-8", newline="\n")


def _auto_map(*names: str) -> dict[str, str]:
    return {name: f"{Path(MODELING).stem}.{AUTO_CLASSES[name]}" for name in names}


def read_meta(path: Path) -> dict[str, Any]:
    """The meta of a directory in the form of picodet's other files; `config_from_meta` checks it.

    Raises CheckpointError where the two JSON files are not what `write` produces.
    """
    config, preprocessor = _json(path / CONFIG), _json(path / PREPROCESSOR)
    try:
        return network_meta(config) | preprocessing_meta(preprocessor)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: invalid {CONFIG} or {PREPROCESSOR}: {type(error).__name__} {error}; convert "
            "the model again"
        ) from error


def network_meta(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the content of `config.json` states of the meta: all but size and preprocessing.

    Raises KeyError or TypeError for a content that `write` does not produce.
    """
    labels = config["id2label"]
    return {**config[META_KEY], "classes": [labels[str(i)] for i in range(len(labels))]}


def preprocessing_meta(preprocessor: Mapping[str, Any]) -> dict[str, Any]:
    """What the content of `preprocessor_config.json` states of the meta: size and preprocessing.

    Raises KeyError, TypeError or ValueError for a content that `write` does not produce.
    """
    for name, expected in STEPS.items():
        if preprocessor.get(name, expected) != expected:
            raise ValueError(
                f"{name} is {preprocessor[name]!r:.20}; only {expected!r} is carried out"
            )
    interp = preprocessor["opencv_interp"]
    if PIL_RESAMPLE.get(interp) != preprocessor["resample"]:
        raise ValueError(
            f"resample is {preprocessor['resample']!r:.20} (PIL), which is not opencv_interp "
            f"{interp!r:.20}"
        )
    return {
        "input_size": [preprocessor["size"]["height"], preprocessor["size"]["width"]],
        "preprocessing": {
            "mean": preprocessor["image_mean"],
            "std": preprocessor["image_std"],
            "interp": interp,
            "resize": preprocessor.get("opencv_kernels", "native"),  # older files have none
            "is_scale": preprocessor.get("do_rescale", True),
            "padding": preprocessor.get("padding"),
            "unsupported": preprocessor.get("unsupported", ""),
        },
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        if regular_file(path).stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: found {content!r:.40}; expected a dictionary")
    return content
