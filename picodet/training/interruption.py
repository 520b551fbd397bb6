"""Ctrl-C and the end that `kill` and torchrun ask for: after the step that is under way."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from picodet.errors import TrainingError
from picodet.training.state import Position

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedTrainingError(TrainingError):
    """Somebody wanted it to end; what was done is kept."""

    def __init__(self, out: Path, position: Position) -> None:
        super().__init__(
            f"interrupted after step {position.step} of epoch {position.epoch + 1}; everything is "
            f"in {out}, and the same command with --resume goes on"
        )


class Interruption:
    """`wanted` is set by the first signal; a second one is Python's own again."""

    def __init__(self) -> None:
        self.wanted = False
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # others may not set them
            self.before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
