"""What a user can put right. Everything else that is raised is a bug of ours.

PicoDetError
├── CheckpointError   a file of weights is not what it should be
├── ConversionError   a checkpoint was read, and does not become a model
│   └── IncompleteError   ... because tensors or places are left over (picodet.port)
├── ImageError        a picture cannot be read or has the wrong form
└── OutputError       a result cannot be written where it was asked for
"""

from typing import Any


class PicoDetError(Exception):
    """Says where, what was found, what was expected and what to do; shown without a traceback."""

    def as_json(self) -> dict[str, Any]:
        """For `--json`; children add what they know."""
        return {"error": str(self)}


class CheckpointError(PicoDetError):
    """A file of weights is not what it should be."""


class ConversionError(PicoDetError):
    """A checkpoint was read, and does not become a model."""


class ImageError(PicoDetError):
    """A picture cannot be read or has the wrong form."""


class OutputError(PicoDetError):
    """A result cannot be written where it was asked for."""
