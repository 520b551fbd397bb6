"""Ctrl-C and the end that `kill` and torchrun ask for: after the step that is under way."""

import signal
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from picodet.errors import TrainingError
from picodet.system.termination import ENDING, Terminated, listening
from picodet.training.checkpoint import Position


class InterruptedTrainingError(TrainingError):
    """Somebody wanted it to end; what was done is kept."""

    def __init__(self, out: Path, position: Position) -> None:
        super().__init__(
            f"interrupted after step {position.step} of epoch {position.epoch + 1}; everything is "
            f"in {out}, and the same command with --resume goes on"
        )


class Interruption:
    """`wanted` is set by the first signal. A second Ctrl-C is Python's own again; whoever asks
    otherwise once more, as torchrun does, does not disturb the saving.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.cause: KeyboardInterrupt | None = None
        self._stack = ExitStack()

    def __enter__(self) -> "Interruption":
        self._stack.enter_context(listening(self._note, signal.SIGINT, *ENDING))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.wanted:
            self.cause = KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
        self.wanted = True
