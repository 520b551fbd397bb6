"""The index of a recording: everything except the values of its tensors.

Plain data, converted to JSON and back; writer.py writes it and reader.py reads it.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from picodet.config import Padding, Preprocessing
from picodet.formats.preprocessing_meta import preprocessing_from_meta, preprocessing_to_meta
from picodet.graphs.operators import Operator, Source, TensorKey

INDEX_KEY = "picodet_recording"  # the key of the index in the safetensors header
FORMAT_VERSION = 1
# a weight that no operator takes: the values of the bins, from the metadata of picodet's exports
METADATA_PROJECT = "metadata: project"
SAMPLES_KEY = "samples"  # all samples of a summary, float64, in the order of the index's tensors

SAFETENSORS_DTYPES = {  # NumPy's names -> safetensors' names
    "float64": "F64",
    "float32": "F32",
    "int64": "I64",
    "int32": "I32",
    "uint8": "U8",
}

ReferenceKind = Literal["ppdet", "paddle program", "onnx"]


def sample_positions(size: int, count: int) -> np.ndarray:
    """Positions [min(size, count)] of a summary's samples in a flat tensor, evenly spaced.

    The first and the last value are included.
    """
    return np.linspace(0, size - 1, min(size, count)).astype(int)


def content_key(array: np.ndarray) -> TensorKey:
    """A hash of dtype, shape and bytes: the same for two arrays only if they are bitwise equal."""
    array = np.asarray(array, order="C")
    digest = hashlib.sha256(f"{array.dtype.name}{array.shape}".encode())
    digest.update(array.data)
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class TensorInfo:
    """Shape, dtype and statistics of one tensor; `low`, `high` and `mean` of its finite values."""

    shape: tuple[int, ...]
    dtype: str  # NumPy's name
    low: float
    high: float
    mean: float
    nan: int  # number of NaN values
    inf: int  # number of infinite values


@dataclass(frozen=True)
class Weight:
    """A tensor of the reference's checkpoint or graph, by its name there."""

    name: str
    key: TensorKey


@dataclass(frozen=True)
class PreprocessingStep:
    """The image after one preprocessing step, named decode, colour, resize or normalise."""

    name: str
    key: TensorKey


@dataclass(frozen=True)
class RecordedCall:
    """One call of one layer. A tensor that a layer takes or returns twice is listed once."""

    path: str  # in the reference's spelling: backbone._conv1._conv
    number: int  # which call of this layer, from 0
    type: str  # class name of the layer
    inputs: tuple[TensorKey, ...]
    outputs: tuple[TensorKey, ...]


@dataclass(frozen=True)
class PreprocessingSettings:
    """The preprocessing that the reference's files state."""

    size: tuple[int, int]  # height, width
    interp: int  # OpenCV's number of the interpolation
    mean: tuple[float, float, float]  # RGB, of values in 0 .. 1
    std: tuple[float, float, float]
    is_scale: bool = True
    padding: Padding | None = None

    @classmethod
    def of(cls, size: tuple[int, int], numbers: Preprocessing) -> "PreprocessingSettings":
        """The settings of a model's preprocessing; which kernels resize is not among them."""
        return cls(
            size, numbers.interp, numbers.mean, numbers.std, numbers.is_scale, numbers.padding
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """The same as a model's."""
        return Preprocessing(
            self.mean, self.std, self.interp, is_scale=self.is_scale, padding=self.padding
        )


@dataclass(frozen=True)
class RecordedOutputs:
    """The reference's outputs: always those of the heads, and those of decoding and NMS if any.

    scores [1, C, anchors] probabilities and reg [1, 4 * bins, anchors] regression logits, one of
    each per level; boxes [1, A, 4] xyxy in pixels of the network's input and their scores
    [1, C, A], before NMS; kept [N, 6] of class, score, xyxy in pixels of the image.
    """

    scores: tuple[TensorKey, ...]
    reg: tuple[TensorKey, ...]
    boxes: TensorKey | None = None
    box_scores: TensorKey | None = None
    kept: TensorKey | None = None


@dataclass(frozen=True)
class Index:
    """Everything in a recording except the values of its tensors."""

    kind: ReferenceKind
    file: str  # name of the recorded file
    sha256: str  # of that file; of a folder, of its file of weights
    versions: dict[str, str]  # of Paddle, ppdet, onnxruntime, NumPy ..: whatever was used
    precision: Literal["float32", "float64"]
    samples: int  # per tensor; 0 in a full recording
    input: TensorKey  # [1, 3, H, W], the network's input
    image: TensorKey | None  # the encoded image, byte for byte
    scale_factor: tuple[float, float]  # (y, x): the input's size over the image's
    settings: PreprocessingSettings | None
    weights: tuple[Weight, ...]
    steps: tuple[PreprocessingStep, ...]
    calls: tuple[RecordedCall, ...]  # empty for a static graph
    operators: tuple[Operator, ...]  # of a static graph
    network_outputs: RecordedOutputs
    probes: dict[str, TensorKey]  # the reference's answers to probes.py; empty for a static graph
    tensors: dict[TensorKey, TensorInfo]
    # resize_kernels.fingerprint of the resize; empty in older recordings and for --input arrays
    kernels: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None  # class names, if the reference states them


# Fields that have another name in files of format 1 -> that name.
FILE_KEYS = {"image": "picture", "network_outputs": "ending", "reg": "sides"}


def to_json(index: Index) -> dict[str, Any]:
    """The index as plain values for JSON; `from_json` is the inverse."""
    content = {FILE_KEYS.get(key, key): value for key, value in asdict(index).items()}
    content["settings"] = index.settings and settings_to_json(index.settings)
    outputs = content[FILE_KEYS["network_outputs"]].items()
    content[FILE_KEYS["network_outputs"]] = {FILE_KEYS.get(key, key): v for key, v in outputs}
    return {"format": FORMAT_VERSION, **content}


def from_json(content: dict[str, Any]) -> Index:
    """The inverse of `to_json`, which checks types: files are not trusted.

    Raises KeyError, TypeError, ValueError or AttributeError if it is not an index.
    """
    if content["format"] != FORMAT_VERSION:
        raise ValueError(
            f"format version {content['format']!r:.20}; this picodet reads {FORMAT_VERSION}"
        )
    tensors = {
        str(key): TensorInfo(
            shape=tuple(int(n) for n in value["shape"]),
            dtype=str(value["dtype"]),
            low=float(value["low"]),
            high=float(value["high"]),
            mean=float(value["mean"]),
            nan=int(value["nan"]),
            inf=int(value["inf"]),
        )
        for key, value in content["tensors"].items()
    }

    def tensor_key(key: Any) -> TensorKey:
        if key not in tensors:
            raise ValueError(f"no tensor {key!r:.80}")
        return str(key)

    def tensor_keys(values: list[Any]) -> tuple[TensorKey, ...]:
        return tuple(tensor_key(value) for value in values)

    def optional_key(key: Any) -> TensorKey | None:
        return None if key is None else tensor_key(key)

    settings, outputs = content["settings"], content[FILE_KEYS["network_outputs"]]
    precision, kind = content["precision"], content["kind"]
    if precision not in ("float32", "float64"):
        raise ValueError(f"precision {precision!r:.20}")
    if kind not in ("ppdet", "paddle program", "onnx"):
        raise ValueError(f"kind {kind!r:.20}")
    if int(content["samples"]) < 0:
        raise ValueError(f"{content['samples']} samples")
    y, x = (float(v) for v in content["scale_factor"])
    return Index(
        kind=kind,
        file=str(content["file"]),
        sha256=str(content["sha256"]),
        versions={str(k): str(v) for k, v in content["versions"].items()},
        precision=precision,
        samples=int(content["samples"]),
        input=tensor_key(content["input"]),
        image=optional_key(content[FILE_KEYS["image"]]),
        scale_factor=(y, x),
        settings=None if settings is None else settings_from_json(settings),
        weights=tuple(Weight(str(w["name"]), tensor_key(w["key"])) for w in content["weights"]),
        steps=tuple(
            PreprocessingStep(str(s["name"]), tensor_key(s["key"])) for s in content["steps"]
        ),
        calls=tuple(
            RecordedCall(
                str(c["path"]),
                int(c["number"]),
                str(c["type"]),
                tensor_keys(c["inputs"]),
                tensor_keys(c["outputs"]),
            )
            for c in content["calls"]
        ),
        operators=tuple(
            Operator(
                str(o["kind"]),
                str(o["name"]),
                tuple(Source(int(s["operator"]), int(s["index"])) for s in o["sources"]),
                tensor_keys(o["outputs"]),
                {str(k): str(v) for k, v in o["weights"].items()},
            )
            for o in content["operators"]
        ),
        network_outputs=RecordedOutputs(
            tensor_keys(outputs["scores"]),
            tensor_keys(outputs[FILE_KEYS["reg"]]),
            *(optional_key(outputs[name]) for name in ("boxes", "box_scores", "kept")),
        ),
        probes={str(name): tensor_key(key) for name, key in content["probes"].items()},
        tensors=tensors,
        kernels={str(k): str(v) for k, v in content.get("kernels", {}).items()},
        classes=_names(content.get("classes")),  # recordings of older versions have none
    )


def _names(values: Any) -> tuple[str, ...] | None:
    if values is not None and not isinstance(values, list):
        raise ValueError(f"classes {values!r:.40}")
    return None if values is None else tuple(str(value) for value in values)


def settings_to_json(settings: PreprocessingSettings) -> dict[str, Any]:
    """Plain values of the settings, without those that are as in all of ppdet's own models."""
    values = asdict(settings)
    stored = preprocessing_to_meta(settings.preprocessing)
    return {name: value for name, value in values.items() if name == "size" or name in stored}


def settings_from_json(content: dict[str, Any]) -> PreprocessingSettings:
    """The inverse of `settings_to_json`. Raises KeyError, TypeError or ValueError."""
    height, width = (int(v) for v in content["size"])
    return PreprocessingSettings.of((height, width), preprocessing_from_meta(content))
