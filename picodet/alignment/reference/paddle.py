"""Runs a recorder in the Python environment that has Paddle."""

import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from picodet.alignment.reference.request import RecordRequest, TrainingRecordRequest
from picodet.errors import RecordingError
from picodet.paddle_process.pipe import Message, receive
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
    with tempfile.TemporaryFile() as errors:
        process = start_process(
            python,
            RECORDERS[type(request)],
            request.to_json(),
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        with process, terminate_on_error(process):
            messages = cast(IO[bytes], process.stdout)
            while (message := _receive(messages)) is not None:
                match message.header:
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
            process.wait()  # before its standard input is closed, at which it would end itself
        if failure is None and process.returncode:
            failure = (
                f"{request.reference}: the recorder in {interpreter(python)} ended with exit code "
                f"{process.returncode}; the last line of its stderr: {last_error_line(errors)}"
            )
    if failure is not None:
        raise RecordingError(failure)


def _receive(messages: IO[bytes]) -> Message | None:
    """The next message of the recorder, None at its end; what that Python prints is skipped."""
    while True:
        with suppress(ValueError):
            return receive(messages)
