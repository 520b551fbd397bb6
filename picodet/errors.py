"""Errors that a user can put right. Anything else that is raised is a bug of picodet.

PicoDetError
├── CheckpointError   a file of weights is not what it should be
├── ConversionError   a checkpoint was read, and does not become a model
│   └── IncompleteError   ... because tensors do not match (converter.converted_model)
├── GraphError        a network's graph cannot be read, or is another network than it should be
├── ImageError        an image cannot be read or has the wrong form
├── OutputError       a result cannot be written where it was asked for
├── RecordingError    a recording of a reference cannot be read or made
├── AlignmentError    two models cannot be compared
├── FetchError        a file could not be fetched, or is not the one it was before
├── EvaluationError   a model and a dataset do not fit, or an evaluation cannot go on
│   └── InterruptedRunError   ... because somebody wanted it to end (picodet.evaluation.evaluator)
├── ProcessesError    several processes cannot work together, or one of them has failed
├── TrainingError     a training cannot start, or cannot go on
└── NotVerifiedError  an export does not compute what its model does (picodet.exporter.export)
"""

from typing import Any

MAX_CHARACTERS = 4000  # of a message; what it quotes may be a stranger's, or 80 names twice


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
    """A warning about nothing wrong, which commands print as a note."""


class ImageWarning(Note):
    """An image is odd, and used as it is."""


class CheckpointError(PicoDetError):
    """A file of weights is not what it should be."""


class ConversionError(PicoDetError):
    """A checkpoint was read, and does not become a model."""


class GraphError(PicoDetError):
    """A network's graph cannot be read, or is another network than it should be."""


class ImageError(PicoDetError):
    """An image cannot be read or has the wrong form."""


class OutputError(PicoDetError):
    """A result cannot be written where it was asked for."""


class RecordingError(PicoDetError):
    """A recording of a reference cannot be read or made."""


class AlignmentError(PicoDetError):
    """Two models cannot be compared."""


class FetchError(PicoDetError):
    """A file could not be fetched, or is not the one it was before."""


class EvaluationError(PicoDetError):
    """A model and a dataset do not fit, or an evaluation cannot go on."""


class ProcessesError(PicoDetError):
    """Several processes cannot work together, or one of them has failed."""


class TrainingError(PicoDetError):
    """A training cannot start, or cannot go on."""
