"""An image that whoever reads it has to wait for: a test can act while others are half way."""

import os
import time
from contextlib import suppress
from pathlib import Path

PATIENCE = 600  # seconds until what hangs is ended; where others keep the machine busy, all is slow

ROOT = Path(__file__).parents[2]
# of processes that shall read it
PYTHONPATH = os.pathsep.join(map(str, (ROOT / "tests" / "helpers" / "gate", ROOT)))


class GatedImage:
    """Takes the place of an image; each reading of it waits until the test opens the gate."""

    def __init__(self, path: Path) -> None:
        self.path, self.content = path, path.read_bytes()
        assert len(self.content) < 1 << 16  # what a pipe holds
        path.unlink()
        os.mkfifo(path)
        self.pipe = None

    def reached(self, *processes) -> None:
        """Wait until somebody reads it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.pipe = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:  # nobody yet
                ended = [process for process in processes if process.poll() is not None]
                if ended or time.monotonic() > deadline:
                    raise AssertionError(f"nobody reads it; ended: {ended}") from error
                time.sleep(0.01)
            else:
                break
        # the next reader finds another pipe: what is written now is for this one alone
        following = self.path.with_name("following")
        os.mkfifo(following)
        following.replace(self.path)

    def open(self, content: bytes | None = None) -> None:
        """Let who waits have it, or something else."""
        with suppress(BrokenPipeError), os.fdopen(self.pipe, "wb") as file:
            file.write(self.content if content is None else content)
