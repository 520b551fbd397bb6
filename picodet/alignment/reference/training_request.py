"""What the recorder of trainings is asked to do: plain data, which also goes to another process."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

STEPS = 3  # after which parameters, momentum and average are recorded
RATE = 0.01  # of each of these steps


@dataclass(frozen=True)
class TrainingOrder:
    """One recording of a training's first steps to be made."""

    reference: Path  # a .pdparams
    out: Path  # .npz
    batch: Path | None  # .npz of pictures and boxes; drawn where there is none
    input_size: tuple[int, int] | None  # height, width, where the reference does not tell it
    float64: bool
    samples: int  # of each tensor; 0 for all values
    steps: int = STEPS
    rate: float = RATE

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "TrainingOrder":
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
            rate=content["rate"],
        )
