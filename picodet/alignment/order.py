"""What a recorder is asked to do: plain data, which also goes to another process as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

SAMPLES = 16  # of each tensor in a summary


@dataclass(frozen=True)
class Order:
    """One recording to be made. Exactly one of `picture` and `array` is given."""

    reference: Path
    out: Path
    picture: Path | None  # goes through preprocessing
    array: Path | None  # a .npy [1, 3, H, W] that the network is fed as it is
    input_size: tuple[int, int] | None  # height, width, where the reference does not tell it
    float64: bool
    samples: int  # 0 for a full recording

    def to_json(self) -> str:
        return json.dumps(
            {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        )

    @classmethod
    def from_json(cls, text: str) -> "Order":
        content = json.loads(text)
        size = content.pop("input_size")
        paths = {key: content.pop(key) for key in ("reference", "out", "picture", "array")}
        return cls(
            **{key: path and Path(path) for key, path in paths.items()},
            input_size=size and (size[0], size[1]),
            **content,
        )
