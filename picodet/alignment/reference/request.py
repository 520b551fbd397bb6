"""Requests for recordings: plain data, sent to the recorder's process as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from picodet.alignment.recording.index import PreprocessingSettings, settings_from_json

SUMMARY_SAMPLES = 16  # values of each tensor in a summary


@dataclass(frozen=True)
class RecordRequest:
    """One recording to make, of an image or of an array."""

    reference: Path
    out: Path  # .safetensors
    image: Path | None  # is preprocessed
    array: Path | None  # a .npy [1, 3, H, W], the network's input as it is
    input_size: tuple[int, int] | None  # height, width; for references that do not state it
    float64: bool  # compute in float64
    samples: int  # per tensor; 0 for a full recording
    settings: PreprocessingSettings | None = None  # preprocessing, if the reference states it
    classes: tuple[str, ...] | None = None  # class names, if the reference states them

    def to_json(self) -> str:
        """The request as JSON; `from_json` is the inverse."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "RecordRequest":
        """The inverse of `to_json`."""
        content = json.loads(text)
        size, settings = content["input_size"], content["settings"]
        return cls(
            reference=Path(content["reference"]),
            out=Path(content["out"]),
            image=content["image"] and Path(content["image"]),
            array=content["array"] and Path(content["array"]),
            input_size=size and (size[0], size[1]),
            float64=content["float64"],
            samples=content["samples"],
            settings=settings and settings_from_json(settings),
            classes=content["classes"] and tuple(content["classes"]),
        )


DEFAULT_STEPS = 3  # parameters, momentum and EMA are recorded after these
DEFAULT_LR = 0.01  # learning rate of each of these steps


@dataclass(frozen=True)
class TrainingRecordRequest:
    """One recording to make of the first steps of ppdet's training."""

    reference: Path  # a .pdparams or .pdema, or a training output folder
    out: Path  # .npz
    batch: Path | None  # .npz of images and boxes; None for a synthetic batch
    input_size: tuple[int, int] | None  # height, width; for references that do not state it
    float64: bool  # compute in float64
    samples: int  # per tensor; 0 for all values
    steps: int = DEFAULT_STEPS
    lr: float = DEFAULT_LR

    def to_json(self) -> str:
        """The request as JSON; `from_json` is the inverse."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "TrainingRecordRequest":
        """The inverse of `to_json`."""
        content = json.loads(text)
        size = content["input_size"]
        return cls(
            reference=Path(content["reference"]),
            out=Path(content["out"]),
            batch=content["batch"] and Path(content["batch"]),
            input_size=size and (size[0], size[1]),
            float64=content["float64"],
            samples=content["samples"],
            steps=content["steps"],
            lr=content["lr"],
        )
