"""How a recorder in Paddle's own process tells what goes on: a line of JSON on standard output."""

import json
import sys
from collections.abc import Callable
from typing import Any

from picodet.errors import PicoDetError
from picodet.system.termination import terminable


def tell(**content: Any) -> None:
    """`done` and `total`, or `error`, or the name of a `missing` package."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def progress(done: int, total: int) -> None:
    """How far it is."""
    tell(done=done, total=total)


def carry_out(work: Callable[[], None]) -> None:
    """Do it, or tell what is wrong. Who ends this process finds nothing half written."""
    try:
        with terminable():
            work()
    except PicoDetError as error:
        tell(error=str(error))
    except ModuleNotFoundError as error:
        tell(missing=error.name)
