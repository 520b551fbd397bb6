"""What a training tells while it runs: a line of JSON for each event, and TensorBoard's files."""

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
    """One process writes it.

    start_iteration: where it resumes; evaluated: whether that includes an evaluation.
    """

    def __init__(self, folder: Path, start_iteration: int, evaluated: bool = True) -> None:
        self.path = folder / FILE
        self._drop_repeated(start_iteration, evaluated)
        self.summary_writer, self.note = _summary_writer(folder / TENSORBOARD, start_iteration)

    def write(self, event: str, iteration: int, values: Mapping[str, Any]) -> None:
        """Numbers go to TensorBoard too. Raises OutputError where the disk is full."""
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
        """Nothing may be written then."""
        if self.summary_writer:
            self.summary_writer.close()

    def _drop_repeated(self, start_iteration: int, evaluated: bool) -> None:
        """What comes after the iteration is going to happen once more."""
        if not self.path.is_file():
            return
        lines = self.path.read_bytes().splitlines()
        kept = [line.decode() for line in lines if _is_kept(line, start_iteration, evaluated)]
        write_text(self.path, "".join(f"{line}\n" for line in kept))


def _is_kept(line: bytes, start_iteration: int, evaluated: bool) -> bool:
    """Whether a line is whole, and tells nothing that is going to be repeated."""
    try:
        row = json.loads(line.decode())
        repeated = row["event"] == EVALUATION and not evaluated
        return bool(
            row["iteration"] < start_iteration
            or (row["iteration"] == start_iteration and not repeated)
        )
    except (ValueError, KeyError, TypeError, RecursionError):  # when the process was killed
        return False


def _summary_writer(folder: Path, start_iteration: int) -> tuple[Any, str | None]:
    """TensorBoard's writer, or why there is none."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # not everybody has it
    except ImportError:
        return None, INSTALL
    return SummaryWriter(str(folder), purge_step=start_iteration + 1), None
