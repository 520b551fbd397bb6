"""What a recorder is asked to do: plain data, which also goes to another process as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from picodet.alignment.recording.index import PreprocessingSettings, settings_from_json

SUMMARY_SAMPLES = 16  # of each tensor in a summary


@dataclass(frozen=True)
class RecordRequest:
    """One recording to be made, of one picture or, in its stead, of one array."""

    reference: Path
    out: Path
    image: Path | None  # goes through preprocessing
    array: Path | None  # a .npy [1, 3, H, W] that the network is fed as it is
    input_size: tuple[int, int] | None  # height, width, where the reference does not tell it
    float64: bool
    samples: int  # 0 for a full recording
    settings: PreprocessingSettings | None = (
        None  # what the reference says of preprocessing, already read
    )
    classes: tuple[str, ...] | None = None  # what it calls them, likewise

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "RecordRequest":
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


DEFAULT_STEPS = 3  # after which parameters, momentum and average are recorded
DEFAULT_LR = 0.01  # of each of these steps


@dataclass(frozen=True)
class TrainingRecordRequest:
    """One recording of a training's first steps to be made."""

    reference: Path  # a .pdparams
    out: Path  # .npz
    batch: Path | None  # .npz of pictures and boxes; drawn where there is none
    input_size: tuple[int, int] | None  # height, width, where the reference does not tell it
    float64: bool
    samples: int  # of each tensor; 0 for all values
    steps: int = DEFAULT_STEPS
    lr: float = DEFAULT_LR

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "TrainingRecordRequest":
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
