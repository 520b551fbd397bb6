"""A process of Paddle's that runs a program; paddle_server.py is what it does."""

import json
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import numpy as np

from picodet.errors import CheckpointError, PicoDetError
from picodet.paddle_process.pipe import Message, receive, send
from picodet.paddle_process.python import (
    interpreter,
    last_error_line,
    missing_package_message,
    start_process,
)

SERVER = "picodet.paddle_process.server"
PATIENCE = 10  # seconds until a process that nobody asks any more is killed


class MissingPaddleError(PicoDetError):
    """A Python was asked to run Paddle and has not got it."""


class ProgramProcess:
    """Answers one question at a time, whoever asks. It ends when this one ends, however that is."""

    def __init__(self, program: Path, python: Path | None, threads: int) -> None:
        """Raises CheckpointError for a program that Paddle cannot load, MissingPaddleError without
        it.
        """
        self._where = f"{program}, run in {interpreter(python)}"
        self._lock = threading.Lock()
        argument = json.dumps({"program": str(program.resolve()), "threads": threads})
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (until the process has ended)
        try:
            self._process = start_process(
                *(python, SERVER, argument, threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        except BaseException:
            self._errors.close()
            raise
        self._questions = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)
        try:
            match said := self._receive().words:
                case {"inputs": [*inputs], "outputs": [*outputs]}:
                    self.inputs = [str(name) for name in inputs]
                    self.outputs = [str(name) for name in outputs]
                case {"missing": str() as package}:
                    raise MissingPaddleError(
                        missing_package_message(program.parent, package, python)
                    )
                case {"error": str() as text}:
                    raise CheckpointError(f"{program}: Paddle cannot load it: {text}")
                case _:
                    raise PicoDetError(f"{self._where}: began with {said!r:.200}")
        except BaseException:
            self._end()
            raise

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs, in the program's order. Raises PicoDetError where there are none."""
        with self._lock:
            if self._errors.closed:
                raise PicoDetError(f"{self._where}: asked after its process was ended")
            try:
                answer = self._ask(inputs)
            except BaseException:  # an interrupt too: the next answer would be to this question
                self._end()
                raise
        if "error" in answer.words:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
            raise PicoDetError(
                f"{self._where}: Paddle cannot run it on {shapes}: {answer.words['error']}"
            )
        return [answer.arrays[name] for name in self.outputs]

    def close(self) -> None:
        """End the process; at once where it does not answer."""
        if not self._lock.acquire(timeout=PATIENCE):
            self._process.kill()  # whoever waits for an answer learns of it, and cleans up
            return
        try:
            self._end()
        finally:
            self._lock.release()

    def _ask(self, inputs: Mapping[str, np.ndarray]) -> Message:
        with suppress(BrokenPipeError):  # it has died: there is no answer, and that says more
            send(self._questions, {}, inputs)
        answer = self._receive()
        if "error" not in answer.words and set(answer.arrays) != set(self.outputs):
            raise PicoDetError(f"{self._where}: answered with {', '.join(answer.arrays)}")
        return answer

    def _receive(self) -> Message:
        try:
            message = receive(self._answers)
        except ValueError as error:
            raise PicoDetError(f"{self._where}: sent {error}") from error
        if message is None:
            raise PicoDetError(
                f"{self._where}: ended with exit code {self._ended()}; its last words: "
                f"{last_error_line(self._errors)}"
            )
        return message

    def _end(self) -> None:
        if self._errors.closed:
            return
        for pipe in (self._questions, self._answers):
            with suppress(BrokenPipeError):  # of what was not sent
                pipe.close()
        self._ended()
        self._errors.close()

    def _ended(self) -> int:
        """Its exit code; it is killed where it goes on."""
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
