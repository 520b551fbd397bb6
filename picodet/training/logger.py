"""The log of a training: log.jsonl with a line for each event, and TensorBoard's files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from picodet.errors import OutputError
from picodet.files import write_text

FILE = "log.jsonl"
TENSORBOARD = "tensorboard"
EVALUATION = "evaluation"  # an event
INSTALL = "TensorBoard's files are not written: pip install tensorboard"


class TrainLogger:
    """Writes the log of one process (rank 0) into a folder.

    start_iteration: where the training starts or resumes; lines of later iterations are deleted.
    evaluated: whether the evaluation at that iteration was finished. note: None, or that
    TensorBoard is not installed.
    """

    def __init__(self, folder: Path, start_iteration: int, evaluated: bool = True) -> None:
        self.path = folder / FILE
        self._drop_repeated(start_iteration, evaluated)
        self.summary_writer, self.note = _summary_writer(folder / TENSORBOARD, start_iteration)

    def write(self, event: str, iteration: int, values: Mapping[str, Any]) -> None:
        """Append an event; its numbers go to TensorBoard too. Raises OutputError if it cannot."""
        row = json.dumps({"event": event, "iteration": iteration, **values})
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(row + "\n")
            if self.summary_writer:
                for name, value in values.items():
                    if isinstance(value, int | float):
                        self.summary_writer.add_scalar(f"{event}/{name}", value, iteration)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close TensorBoard's file; the logger cannot be used afterwards."""
        if self.summary_writer:
            self.summary_writer.close()

    def _drop_repeated(self, start_iteration: int, evaluated: bool) -> None:
        """Delete the lines after the iteration: these steps are going to be repeated."""
        if not self.path.is_file():
            return
        lines = self.path.read_bytes().splitlines()
        kept = [line.decode() for line in lines if _is_kept(line, start_iteration, evaluated)]
        write_text(self.path, "".join(f"{line}\n" for line in kept))


def _is_kept(line: bytes, start_iteration: int, evaluated: bool) -> bool:
    """Whether a line is complete, and its step is not going to be repeated."""
    try:
        row = json.loads(line.decode())
        repeated = row["event"] == EVALUATION and not evaluated
        return bool(
            row["iteration"] < start_iteration
            or (row["iteration"] == start_iteration and not repeated)
        )
    except (ValueError, KeyError, TypeError, RecursionError):  # cut off when the process was killed
        return False


def _summary_writer(folder: Path, start_iteration: int) -> tuple[Any, str | None]:
    """TensorBoard's writer, or a note on why there is none."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # optional
    except ImportError:
        return None, INSTALL
    return SummaryWriter(str(folder), purge_step=start_iteration + 1), None
