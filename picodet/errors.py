"""Errors that a user can fix. Anything else that is raised is a bug of picodet.

PicoDetError
├── CheckpointError   a checkpoint is damaged, or not of the expected kind
├── ConversionError   a checkpoint was read, but cannot be converted
│   └── IncompleteError   ... because tensors do not match (converter.converted_model)
├── GraphError        a graph cannot be read, or is of another network than expected
├── ImageError        an image cannot be read or has the wrong form
├── OutputError       a result cannot be written to the given path
├── RecordingError    a recording of a reference cannot be read or made
├── AlignmentError    two models cannot be compared
├── FetchError        a download failed, or the file has changed since the first one
├── EvaluationError   model and dataset do not fit, or an evaluation cannot continue
│   └── InterruptedRunError   ... because it was interrupted (picodet.evaluation.evaluator)
├── ProcessesError    several processes cannot work together, or one of them has failed
├── TrainingError     a training cannot start or continue
└── VerificationError an export differs from its model (picodet.exporter.export)
"""

from typing import Any

MAX_CHARACTERS = 4000  # of a message, which may quote files of any content


def one_line(text: str) -> str:
    """Text that may come from a file, fit for a terminal: no line breaks, no control characters."""
    shown = " ".join(text.split())[: MAX_CHARACTERS + 1]
    if len(shown) > MAX_CHARACTERS:
        shown = shown[:MAX_CHARACTERS] + " ..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


class PicoDetError(Exception):
    """Base class. The message: where, what was found, what was expected, what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))

    def as_json(self) -> dict[str, Any]:
        """The error as `--json` writes it; subclasses add their fields."""
        return {"error": str(self)}


class Note(UserWarning):
    """Information about an unusual but valid input, which commands print as a note."""


class ImageWarning(Note):
    """An image is unusual, and used unchanged."""


class CheckpointError(PicoDetError):
    """A checkpoint is damaged, or not of the expected kind."""


class ConversionError(PicoDetError):
    """A checkpoint was read, but cannot be converted."""


class GraphError(PicoDetError):
    """A graph cannot be read, or is of another network than expected."""


class ImageError(PicoDetError):
    """An image cannot be read or has the wrong form."""


class OutputError(PicoDetError):
    """A result cannot be written to the given path."""


class RecordingError(PicoDetError):
    """A recording of a reference cannot be read or made."""


class AlignmentError(PicoDetError):
    """Two models cannot be compared."""


class FetchError(PicoDetError):
    """A download failed, or the file has changed since the first one."""


class EvaluationError(PicoDetError):
    """Model and dataset do not fit, or an evaluation cannot continue."""


class ProcessesError(PicoDetError):
    """Several processes cannot work together, or one of them has failed."""


class TrainingError(PicoDetError):
    """A training cannot start or continue."""
