"""Handles `kill`, torchrun's signal, a closed terminal and Ctrl-C in the same way.

Ctrl-C raises Python's KeyboardInterrupt, and so do the others, so that work in progress is saved
or undone. Ignored signals stay ignored (a shell script ignores Ctrl-C for what it starts with `&`).
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNAL_EXIT_BASE = 128  # plus the number of the signal: the exit code after a signal
TERMINATION_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C's terminates the command."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code(error: BaseException | None) -> int:
    """The exit code of an interrupted command, as a shell reports it."""
    return SIGNAL_EXIT_BASE + (error.number if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def signal_handlers(
    on_signal: Callable[[int, FrameType | None], None], *signals: int
) -> Iterator[None]:
    """Handle those of the signals that are not ignored, until the block ends; main thread only."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in signals:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Turn the first signal into Terminated; further ones, as torchrun sends, are ignored.

    Sets signal handlers of the process until the block ends.
    """
    requested = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if not requested:
            requested = True
            raise Terminated(number)

    with signal_handlers(on_signal, *TERMINATION_SIGNALS):
        yield
