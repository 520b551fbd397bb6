"""What a Paddle inference folder says of itself beside its program: infer_cfg.yml."""

from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from picodet.alignment.index import Settings
from picodet.config import check_input_size
from picodet.errors import RecordingError

NAME = "infer_cfg.yml"
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError),
    *(RecursionError, yaml.YAMLError),
)


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
        check_input_size((height, width))
        mean, std, interp = _three(normalise["mean"]), _three(normalise["std"]), resize["interp"]
        if interp not in range(5) or not all(map(isfinite, (*mean, *std))) or min(std) <= 0:
            raise ValueError(f"interp {interp}, mean {mean}, std {std}")
        return Settings((height, width), int(interp), mean, std)
    except UNREADABLE as error:
        text = f"{type(error).__name__} {error}"
        raise RecordingError(f"{path}: its Preprocess cannot be understood: {text}") from error


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
