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

SERVER_MODULE = "picodet.paddle_process.server"
KILL_TIMEOUT = 10  # seconds until a process that nobody asks any more is killed


class MissingPaddleError(PicoDetError):
    """A Python was asked to run Paddle and has not got it."""


class PaddleProcess:
    """Answers one question at a time, whoever asks. It ends when this one ends, however that is."""

    def __init__(self, program: Path, python: Path | None, threads: int) -> None:
        """Raises CheckpointError for a program that Paddle cannot load, MissingPaddleError without
        it.
        """
        self._description = f"{program}, run in {interpreter(python)}"
        self._lock = threading.Lock()
        argument = json.dumps({"program": str(program.resolve()), "threads": threads})
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (until the process has ended)
        try:
            self._process = start_process(
                *(python, SERVER_MODULE, argument, threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
            )
        except BaseException:
            self._stderr.close()
            raise
        self._requests = cast(IO[bytes], self._process.stdin)
        self._responses = cast(IO[bytes], self._process.stdout)
        try:
            match greeting := self._receive().header:
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
                    raise PicoDetError(f"{self._description}: began with {greeting!r:.200}")
        except BaseException:
            self._terminate()
            raise

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs, in the program's order. Raises PicoDetError where there are none."""
        with self._lock:
            if self._stderr.closed:
                raise PicoDetError(f"{self._description}: asked after its process was ended")
            try:
                response = self._request(inputs)
            except BaseException:  # an interrupt too: the next answer would be to this question
                self._terminate()
                raise
        if "error" in response.header:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
            raise PicoDetError(
                f"{self._description}: Paddle cannot run it on {shapes}: {response.header['error']}"
            )
        return [response.arrays[name] for name in self.outputs]

    def close(self) -> None:
        """End the process; at once where it does not answer."""
        if not self._lock.acquire(timeout=KILL_TIMEOUT):
            self._process.kill()  # whoever waits for an answer learns of it, and cleans up
            return
        try:
            self._terminate()
        finally:
            self._lock.release()

    def _request(self, inputs: Mapping[str, np.ndarray]) -> Message:
        with suppress(BrokenPipeError):  # it has died: there is no answer, and that says more
            send(self._requests, {}, inputs)
        response = self._receive()
        if "error" not in response.header and set(response.arrays) != set(self.outputs):
            raise PicoDetError(f"{self._description}: answered with {', '.join(response.arrays)}")
        return response

    def _receive(self) -> Message:
        try:
            message = receive(self._responses)
        except ValueError as error:
            raise PicoDetError(f"{self._description}: sent {error}") from error
        if message is None:
            raise PicoDetError(
                f"{self._description}: ended with exit code {self._wait()}; its last words: "
                f"{last_error_line(self._stderr)}"
            )
        return message

    def _terminate(self) -> None:
        if self._stderr.closed:
            return
        for pipe in (self._requests, self._responses):
            with suppress(BrokenPipeError):  # of what was not sent
                pipe.close()
        self._wait()
        self._stderr.close()

    def _wait(self) -> int:
        """Its exit code; it is killed where it goes on."""
        try:
            return self._process.wait(KILL_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
