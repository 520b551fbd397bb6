"""Runs a work in Paddle's own process: progress and errors go to the process that started it."""

from collections.abc import Callable

from picodet.errors import PicoDetError
from picodet.paddle_process.pipe import message_stream, send
from picodet.system.termination import termination_as_interrupt

ProgressCallback = Callable[[int, int], None]  # done, total


def run_work(work: Callable[[ProgressCallback], None]) -> None:
    """Call `work` with a callback for its progress.

    Sends `done` and `total`, or an `error`, or the name of a `missing` package. A termination
    signal interrupts it, so that it leaves no half-written file.
    """
    with message_stream() as stream:

        def show(done: int, total: int) -> None:
            send(stream, {"done": done, "total": total}, {})

        try:
            with termination_as_interrupt():
                work(show)
        except PicoDetError as error:
            send(stream, {"error": str(error)}, {})
        except ModuleNotFoundError as error:
            send(stream, {"missing": error.name}, {})
