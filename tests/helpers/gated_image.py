"""An image that blocks its readers, so that a test can act in the middle of a command."""

import os
import time
from contextlib import suppress
from pathlib import Path

PATIENCE = 600  # seconds until a hanging process is killed; long, for busy machines

ROOT = Path(__file__).parents[2]
# of the processes that read it
PYTHONPATH = os.pathsep.join(map(str, (ROOT / "tests" / "helpers" / "gate", ROOT)))


class GatedImage:
    """Replaces an image by a named pipe; each reader waits until the test opens the gate."""

    def __init__(self, path: Path) -> None:
        self.path, self.content = path, path.read_bytes()
        assert len(self.content) < 1 << 16  # capacity of a pipe
        path.unlink()
        os.mkfifo(path)
        self.pipe = None

    def reached(self, *processes) -> None:
        """Wait until a process reads it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.pipe = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:  # no reader yet
                ended = [process for process in processes if process.poll() is not None]
                if ended or time.monotonic() > deadline:
                    raise AssertionError(f"nobody reads it; ended: {ended}") from error
                time.sleep(0.01)
            else:
                break
        # the next reader finds another pipe, so only this one gets the content
        following = self.path.with_name("following")
        os.mkfifo(following)
        following.replace(self.path)

    def open(self, content: bytes | None = None) -> None:
        """Give the waiting reader the image, or other content."""
        with suppress(BrokenPipeError), os.fdopen(self.pipe, "wb") as file:
            file.write(self.content if content is None else content)
