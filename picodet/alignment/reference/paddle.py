"""Runs a recorder in the Python environment that has Paddle."""

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from picodet.alignment.reference.request import RecordRequest, TrainingRecordRequest
from picodet.errors import RecordingError
from picodet.paddle_process.python import (
    interpreter,
    last_error_line,
    missing_package_message,
    start_process,
    terminate_on_error,
    warn_of_local_ppdet,
)

RECORDERS = {
    RecordRequest: "picodet.alignment.paddle_side.main",
    TrainingRecordRequest: "picodet.alignment.paddle_side.training_main",
}


def record_in_paddle(
    request: RecordRequest | TrainingRecordRequest,
    python: Path | None,
    progress: Callable[[int, int], None],
) -> None:
    """Make a recording in a process of `python`; None stands for the running Python.

    `progress(done, total)` is called as the recorder reports. Raises PicoDetError where there is
    no such Python, RecordingError where it has no Paddle or the recording fails.
    """
    failure: str | None = None
    if request.reference.suffix in (".pdparams", ".pdema"):
        warn_of_local_ppdet()
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = start_process(
            python,
            RECORDERS[type(request)],
            request.to_json(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
        )
        with process, terminate_on_error(process):
            for line in process.stdout or ():
                match _parse_message(line):
                    case {"done": int() as done, "total": int() as total}:
                        progress(done, total)
                    case {"error": str() as text}:
                        failure = text
                    case {"missing": str() as name}:
                        failure = (
                            f"{missing_package_message(request.reference, name, python)}. A "
                            "reference that is a recording or an .onnx file needs neither Paddle "
                            "nor ppdet"
                        )
        if failure is None and process.returncode:
            failure = (
                f"{request.reference}: the recorder in {interpreter(python)} ended with exit code "
                f"{process.returncode}; the last line of its stderr: {last_error_line(errors)}"
            )
    if failure is not None:
        raise RecordingError(failure)


def _parse_message(line: str) -> object:
    """One line of the recorder's output; None for text that Paddle itself prints."""
    try:
        return json.loads(line)
    except ValueError:
        return None
