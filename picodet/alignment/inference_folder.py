"""What a Paddle inference folder says of itself beside its program: infer_cfg.yml."""

from pathlib import Path
from typing import Any

import yaml

from picodet.alignment.index import Settings
from picodet.errors import RecordingError

NAME = "infer_cfg.yml"


def read_settings(folder: Path) -> Settings | None:
    """Size, interp, mean and std; None where there is no infer_cfg.yml.

    Raises RecordingError for one that cannot be understood.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        content = yaml.safe_load(path.read_text())
        steps = {str(step["type"]): step for step in content["Preprocess"]}
        resize, normalise = steps["Resize"], steps["NormalizeImage"]
        if resize.get("keep_ratio"):
            raise ValueError("keep_ratio, which no PicoDet has")
        if not normalise.get("is_scale", True):
            raise ValueError("is_scale false, which no PicoDet has")
        height, width = (int(side) for side in resize["target_size"])
        mean, std = _three(normalise["mean"]), _three(normalise["std"])
        return Settings((height, width), int(resize["interp"]), mean, std)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        text = f"{type(error).__name__} {error}"
        raise RecordingError(f"{path}: its Preprocess cannot be understood: {text}") from error


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
