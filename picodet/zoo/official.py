"""The PicoDets that Baidu publishes, read once from `models.csv` beside this file, a line each.

Sources: the configs of PaddleDetection 666f597 (configs/picodet, configs/smrt/picodet), AP and URL
as published in the README.md beside them, of the pedestrian models in
configs/keypoint/tiny_pose/README.md; PaddleX 3.7.2 with its docs/module_usage/tutorials; the lists
of models of PaddleOCR (ppstructure/docs/models_list_en.md) and of PaddleClas
(docs/en/image_recognition_pipeline/mainbody_detection_en.md).
"""

import csv
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from picodet.config import ModelConfig, check_input_size
from picodet.errors import PicoDetError
from picodet.zoo.architectures import VARIANTS
from picodet.zoo.class_names import LISTS, default_class_names

TABLE = Path(__file__).with_name("models.csv")
V2022 = "PaddleDetection 2022"
V2021 = "PaddleDetection 2021"
OTHERS = "PaddleDetection 2021, other backbones"
PADDLEX = "PaddleX"
PADDLEOCR = "PaddleOCR"
PADDLECLAS = "PaddleClas"
GROUPS = (V2022, V2021, OTHERS, PADDLEX, PADDLEOCR, PADDLECLAS)  # in the order of `picodet list`
METRICS = ("mAP 0.5:0.95", "mAP 0.5")
FAMILY = ("picodet", "pp-doclayout", "pp-shitu")  # beginnings of the names, in lower case
SEPARATOR = ";"  # between class names that are written out


@dataclass(frozen=True)
class OfficialModel:
    """A published config, with its published accuracy and weights."""

    config: ModelConfig
    group: str  # who publishes it; one of GROUPS
    path: str  # of the config, or of the page that lists the model, in the group's repository
    url: str | None  # of the .pdparams
    folder_url: str | None  # of the inference folder, in a tar
    ap: float | None  # in percent, by the metric and on the dataset below
    metric: str = ""
    measured_on: str = ""


def read_models(path: Path = TABLE) -> tuple[OfficialModel, ...]:
    """The models of a table. Raises ValueError, with the line, for what no model has."""
    variants = {variant.name: variant for variant in VARIANTS}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        models = []
        for row in reader:
            try:
                models.append(_model(row, variants[row["architecture"]]))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}, line {reader.line_num}: {type(error).__name__} {error}; expected a "
                    f"model of {', '.join(reader.fieldnames or ())}"
                ) from error
    return tuple(models)


def _model(row: dict[str, str], variant: ModelConfig) -> OfficialModel:
    if row["group"] not in GROUPS or row["metric"] not in ("", *METRICS):
        raise ValueError(f"{row['group']!r} or {row['metric']!r} is not known")
    height, _, width = row["input_size"].partition("x")
    size = (int(height), int(width or height))
    check_input_size(size)
    config = replace(
        variant, name=row["name"], input_size=size, classes=_class_names(row["classes"])
    )
    return OfficialModel(
        config,
        row["group"],
        row["config"],
        row["checkpoint"] or None,
        row["inference_folder"] or None,
        float(row["ap"]) if row["ap"] else None,
        row["metric"],
        row["measured_on"],
    )


def _class_names(text: str) -> tuple[str, ...]:
    """A list of class_names.LISTS, the number of classes without names, or the names."""
    if text.isdecimal():
        return default_class_names(int(text))
    names = LISTS.get(text) or tuple(text.split(SEPARATOR))
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"an empty or repeated class name in {text!r}")
    return names


OFFICIAL = read_models()
CONFIGS = {official.config.name: official.config for official in OFFICIAL}
BY_NAME = {official.config.name: official for official in OFFICIAL}


def published_url(name: str) -> str | None:
    """The URL of a model's weights; None for what is no name of a model.

    A name is that of a model, whose checkpoint it means, or, if only that is published, its
    inference folder; or that of a published file without its suffix, such as PicoDet-S_infer.
    Raises PicoDetError for a model without published weights, and for a misspelled name.
    """
    by_file = {PurePosixPath(urlsplit(url).path).stem: url for url in _urls()}
    if name not in BY_NAME and name in by_file:
        return by_file[name]
    if name not in BY_NAME:
        near = get_close_matches(name, BY_NAME, n=3, cutoff=0.8)
        if name.lower().startswith(FAMILY) and near:
            raise PicoDetError(
                f"{name}: neither a file nor an official name; did you mean {', '.join(near)}?"
            )
        return None
    official = BY_NAME[name]
    url = official.url or official.folder_url
    if url is None:
        raise PicoDetError(
            f"{name}: PaddleDetection publishes no weights of this config; give a file"
        )
    return url


def _urls() -> tuple[str, ...]:
    return tuple(url for model in OFFICIAL for url in (model.url, model.folder_url) if url)
