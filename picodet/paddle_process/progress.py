"""How a recorder in Paddle's own process tells what goes on: a line of JSON on standard output."""

import json
import sys
from collections.abc import Callable
from typing import Any

from picodet.errors import PicoDetError
from picodet.system.termination import termination_as_interrupt


def send_message(**content: Any) -> None:
    """`done` and `total`, or `error`, or the name of a `missing` package."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def send_progress(done: int, total: int) -> None:
    """How far it is."""
    send_message(done=done, total=total)


def run_reporting_errors(work: Callable[[], None]) -> None:
    """Do it, or tell what is wrong. Who ends this process finds nothing half written."""
    try:
        with termination_as_interrupt():
            work()
    except PicoDetError as error:
        send_message(error=str(error))
    except ModuleNotFoundError as error:
        send_message(missing=error.name)
