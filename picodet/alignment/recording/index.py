"""The index of a recording: everything of it but the values of its tensors.

Plain data, to JSON and back; recording_writer.py writes it and recording.py reads it.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from picodet.graphs.operators import Operator, Source, TensorKey

INDEX_KEY = "picodet_recording"  # the key of the index in the header of the file
FORMAT_VERSION = 1
# a weight that no operator takes: what an export of ours says that the bins stand for
METADATA_PROJECT = "metadata: project"
SAMPLES_KEY = "samples"  # all samples of a summary, float64, in the order of the index's tensors

SAFETENSORS_DTYPES = {  # safetensors' names
    "float64": "F64",
    "float32": "F32",
    "int64": "I64",
    "int32": "I32",
    "uint8": "U8",
}

ReferenceKind = Literal["ppdet", "paddle program", "onnx"]


def sample_positions(size: int, count: int) -> np.ndarray:
    """Where in a flat tensor the samples of a summary were taken: evenly, both ends included."""
    return np.linspace(0, size - 1, min(size, count)).astype(int)


def content_key(array: np.ndarray) -> TensorKey:
    """Equal arrays have equal keys, bit for bit, and others have not."""
    array = np.asarray(array, order="C")
    digest = hashlib.sha256(f"{array.dtype.name}{array.shape}".encode())
    digest.update(array.data)
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class TensorInfo:
    """What the index says of one tensor; `low` to `mean` are of its finite values."""

    shape: tuple[int, ...]
    dtype: str  # NumPy's name
    low: float
    high: float
    mean: float
    nan: int  # how many values are NaN
    inf: int


@dataclass(frozen=True)
class Weight:
    """A tensor of the reference's checkpoint or graph, by the name it has there."""

    name: str
    key: TensorKey


@dataclass(frozen=True)
class PreprocessingStep:
    """What one step of preprocessing made of the picture: decode, colour, resize, normalise."""

    name: str
    key: TensorKey


@dataclass(frozen=True)
class RecordedCall:
    """One call of one layer. A tensor that a layer takes or returns twice is listed once."""

    path: str  # as the reference spells it: backbone._conv1._conv
    number: int  # of the calls of this layer, from 0
    type: str
    inputs: tuple[TensorKey, ...]
    outputs: tuple[TensorKey, ...]


@dataclass(frozen=True)
class PreprocessingSettings:
    """What the reference says of preprocessing."""

    size: tuple[int, int]  # height, width
    interp: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class RecordedOutputs:
    """What came out, as far as the reference goes: heads always, decoding and NMS perhaps.

    scores [1, C, cells] probabilities and sides [1, 4 * bins, cells] logits, one of each per level;
    boxes [1, A, 4] xyxy in pixels of the network's input and their scores [1, C, A], before NMS;
    kept [N, 6] of class, score, xyxy in pixels of the picture.
    """

    scores: tuple[TensorKey, ...]
    sides: tuple[TensorKey, ...]
    boxes: TensorKey | None = None
    box_scores: TensorKey | None = None
    kept: TensorKey | None = None


@dataclass(frozen=True)
class Index:
    """Everything of a recording but the values of its tensors."""

    kind: ReferenceKind
    file: str  # name of what was recorded
    sha256: str  # of that file, or of the weights' file of a folder
    versions: dict[str, str]  # of Paddle, ppdet, onnxruntime, NumPy ..: whatever took part
    precision: Literal["float32", "float64"]
    samples: int  # per tensor; 0 in a full recording
    input: TensorKey  # [1, 3, H, W], what the network was fed
    picture: TensorKey | None  # the encoded picture, byte for byte
    scale_factor: tuple[float, float]  # (y, x): the input's size over the picture's
    settings: PreprocessingSettings | None
    weights: tuple[Weight, ...]
    steps: tuple[PreprocessingStep, ...]
    calls: tuple[RecordedCall, ...]  # of a reference that has layers
    operators: tuple[Operator, ...]  # of a static graph
    ending: RecordedOutputs
    probes: dict[str, TensorKey]  # the reference's answers to probes.py, where it could be asked
    tensors: dict[TensorKey, TensorInfo]
    # what resized the picture: resize_kernels.fingerprint; older recordings, and arrays, have none
    kernels: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None  # their names, where the reference says them


def to_json(index: Index) -> dict[str, Any]:
    """What `from_json` reads."""
    return {"format": FORMAT_VERSION, **asdict(index)}


def from_json(content: dict[str, Any]) -> Index:
    """The inverse of `to_json`; a file is not trusted to hold what it should.

    Raises KeyError, TypeError, ValueError or AttributeError for what is no index.
    """
    if content["format"] != FORMAT_VERSION:
        raise ValueError(f"format {content['format']!r:.20}, this version reads {FORMAT_VERSION}")
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

    settings, ending = content["settings"], content["ending"]
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
        picture=optional_key(content["picture"]),
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
        ending=RecordedOutputs(
            tensor_keys(ending["scores"]),
            tensor_keys(ending["sides"]),
            *(optional_key(ending[name]) for name in ("boxes", "box_scores", "kept")),
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


def settings_from_json(content: dict[str, Any]) -> PreprocessingSettings:
    """The inverse of `asdict`."""
    height, width = (int(v) for v in content["size"])
    mean, std = (_rgb(content[name]) for name in ("mean", "std"))
    return PreprocessingSettings((height, width), int(content["interp"]), mean, std)


def _rgb(values: list[Any]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
