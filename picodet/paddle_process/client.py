"""Runs the program of an inference folder in a process with Paddle, which runs server.py."""

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
KILL_TIMEOUT = 10  # seconds until a process that does not end after its input closed is killed


class MissingPaddleError(PicoDetError):
    """The chosen Python environment has no Paddle."""


class PaddleProcess:
    """A process that runs a Paddle program on the CPU; its life ends with this process's.

    Threads may share it: a lock lets one request run at a time. `inputs` and `outputs` are names.
    """

    def __init__(self, program: Path, python: Path | None, threads: int) -> None:
        """Start the process and load a .pdmodel or .json program.

        python: of the environment with Paddle; None for the running one. threads: CPU threads.
        Raises CheckpointError for a program that Paddle cannot load, MissingPaddleError without
        Paddle.
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
                    raise PicoDetError(
                        f"{self._description}: the first message is {greeting!r:.200}; expected "
                        "the names of inputs and outputs"
                    )
        except BaseException:
            self._terminate()
            raise

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run the program on inputs by name; the outputs come in the order of `outputs`.

        Raises PicoDetError where Paddle cannot run it, the process has ended, or after close().
        """
        with self._lock:
            if self._stderr.closed:
                raise PicoDetError(f"{self._description}: used after close()")
            try:
                response = self._request(inputs)
            except BaseException:  # an interrupt too: the next response would be this request's
                self._terminate()
                raise
        if "error" in response.header:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
            raise PicoDetError(
                f"{self._description}: Paddle cannot run it on {shapes}: {response.header['error']}"
            )
        return [response.arrays[name] for name in self.outputs]

    def close(self) -> None:
        """End the process; it is killed if a request of another thread does not finish in time."""
        if not self._lock.acquire(timeout=KILL_TIMEOUT):
            self._process.kill()  # the thread that waits for a response gets an error and cleans up
            return
        try:
            self._terminate()
        finally:
            self._lock.release()

    def _request(self, inputs: Mapping[str, np.ndarray]) -> Message:
        with suppress(BrokenPipeError):  # the process has ended; the missing response says more
            send(self._requests, {}, inputs)
        response = self._receive()
        if "error" not in response.header and set(response.arrays) != set(self.outputs):
            raise PicoDetError(
                f"{self._description}: the outputs are {', '.join(response.arrays)}; expected "
                f"{', '.join(self.outputs)}"
            )
        return response

    def _receive(self) -> Message:
        try:
            message = receive(self._responses)
        except ValueError as error:
            raise PicoDetError(f"{self._description}: not a valid message: {error}") from error
        if message is None:
            raise PicoDetError(
                f"{self._description}: ended with exit code {self._wait()}; the last line of its "
                f"stderr: {last_error_line(self._stderr)}"
            )
        return message

    def _terminate(self) -> None:
        if self._stderr.closed:
            return
        for pipe in (self._requests, self._responses):
            with suppress(BrokenPipeError):  # of unsent data
                pipe.close()
        self._wait()
        self._stderr.close()

    def _wait(self) -> int:
        """The exit code of the process, which is killed if it does not end."""
        try:
            return self._process.wait(KILL_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
