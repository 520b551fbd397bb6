"""The end that `kill`, torchrun, a closed terminal and Ctrl-C ask for: one way for all of them.

Ctrl-C is Python's KeyboardInterrupt, and the others become one too, so that whatever is under way
is saved or taken back. A signal that is ignored (a script ignores Ctrl-C for what it starts with
`&`) stays ignored.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNAL_EXIT_BASE = 128  # and the number of the signal: the exit code of what a signal has ended
TERMINATION_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no terminal that hangs up


class Terminated(KeyboardInterrupt):
    """Another signal than Ctrl-C's asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code(error: BaseException | None) -> int:
    """The exit code, as a shell has it, of a command that this interrupt has ended."""
    return SIGNAL_EXIT_BASE + (error.number if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def signal_handlers(
    on_signal: Callable[[int, FrameType | None], None], *signals: int
) -> Iterator[None]:
    """Call this for those of the signals that are not ignored; only a main thread can."""
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
    """Raises Terminated, once: who asks again, as torchrun does, does not disturb the saving."""
    requested = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if not requested:
            requested = True
            raise Terminated(number)

    with signal_handlers(on_signal, *TERMINATION_SIGNALS):
        yield
