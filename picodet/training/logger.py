"""What a training tells while it runs: a line of JSON for each event, and TensorBoard's files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from picodet.errors import OutputError
from picodet.files import write_text

FILE = "log.jsonl"
BOARD = "tensorboard"
EVALUATION = "evaluation"  # an event
INSTALL = "TensorBoard's files are not written: pip install tensorboard"


class Journal:
    """One process writes it.

    since: the iteration that it is gone on from; evaluated: whether that includes an evaluation.
    """

    def __init__(self, folder: Path, since: int, evaluated: bool = True) -> None:
        self.path = folder / FILE
        self._forget(since, evaluated)
        self.board, self.note = _board(folder / BOARD, since)

    def write(self, event: str, iteration: int, values: Mapping[str, Any]) -> None:
        """Numbers go to TensorBoard too. Raises OutputError where the disk is full."""
        row = json.dumps({"event": event, "iteration": iteration, **values})
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(row + "\n")
            if self.board:
                for name, value in values.items():
                    if isinstance(value, int | float):
                        self.board.add_scalar(f"{event}/{name}", value, iteration)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Nothing may be written then."""
        if self.board:
            self.board.close()

    def _forget(self, since: int, evaluated: bool) -> None:
        """What comes after the iteration is going to happen once more."""
        if not self.path.is_file():
            return
        lines = self.path.read_bytes().splitlines()
        kept = [line.decode() for line in lines if _stays(line, since, evaluated)]
        write_text(self.path, "".join(f"{line}\n" for line in kept))


def _stays(line: bytes, since: int, evaluated: bool) -> bool:
    """Whether a line is whole, and tells nothing that is going to be repeated."""
    try:
        row = json.loads(line.decode())
        repeated = row["event"] == EVALUATION and not evaluated
        return bool(row["iteration"] < since or (row["iteration"] == since and not repeated))
    except (ValueError, KeyError, TypeError, RecursionError):  # when the process was killed
        return False


def _board(folder: Path, since: int) -> tuple[Any, str | None]:
    """TensorBoard's writer, or why there is none."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # not everybody has it
    except ImportError:
        return None, INSTALL
    return SummaryWriter(str(folder), purge_step=since + 1), None
