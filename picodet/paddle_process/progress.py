"""Reports from a recorder in Paddle's process: lines of JSON on standard output."""

import json
import sys
from collections.abc import Callable
from typing import Any

from picodet.errors import PicoDetError
from picodet.system.termination import termination_as_interrupt


def send_message(**content: Any) -> None:
    """Print a line of JSON: `done` and `total`, or `error`, or the name of a `missing` package."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def send_progress(done: int, total: int) -> None:
    """Report progress: `done` of `total` units of work."""
    send_message(done=done, total=total)


def run_reporting_errors(work: Callable[[], None]) -> None:
    """Call `work` and report a PicoDetError or a missing package instead of raising it.

    SIGTERM is turned into an interrupt, so that temporary files are removed.
    """
    try:
        with termination_as_interrupt():
            work()
    except PicoDetError as error:
        send_message(error=str(error))
    except ModuleNotFoundError as error:
        send_message(missing=error.name)
