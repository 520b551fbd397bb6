"""Serves the program of an inference folder. Runs in Paddle's process only.

`main` takes the path of the program and the number of threads as JSON. It first sends the names of
the `inputs` and `outputs`, or an `error`, or the name of a `missing` package; then it answers each
message of inputs on standard input with one of outputs, or with an `error`, until that is closed.
"""

import json
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from picodet.formats.inference_folder import WEIGHTS_SUFFIX
from picodet.paddle_process.pipe import message_stream, receive, send

ERROR_SUMMARY = re.compile(r"(\(\w+\)|\w+Error:) .+?(?=\s*\[Hint:|\s*\(at /|\Z)", re.DOTALL)


def main(argument: str) -> None:
    """Serve until standard input is closed. Ignores SIGINT and redirects stdout to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the client gets it, and closes the pipe
    with (
        os.fdopen(os.dup(0), "rb") as requests,
        message_stream() as responses,
        Path(os.devnull).open("rb") as devnull,
    ):
        os.dup2(devnull.fileno(), 0)
        serve(json.loads(argument), requests, responses)


def serve(request: dict[str, Any], requests: IO[bytes], responses: IO[bytes]) -> None:
    """Load the program of `request` and answer requests until their stream is closed."""
    try:
        program = PaddleProgram(Path(request["program"]), request["threads"])
    except ModuleNotFoundError as error:
        send(responses, {"missing": error.name}, {})
        return
    except Exception as error:  # Paddle's errors have no common base class
        send(responses, {"error": error_message(error)}, {})
        return
    send(responses, {"inputs": program.inputs, "outputs": program.outputs}, {})
    while (message := receive(requests)) is not None:
        try:
            outputs = program.run(message.arrays)
        except Exception as error:  # as above
            send(responses, {"error": error_message(error)}, {})
        else:
            send(responses, {}, outputs)


class PaddleProgram:
    """A loaded program, on the CPU."""

    def __init__(self, file: Path, threads: int) -> None:
        """Raises ImportError without Paddle, and whatever Paddle raises."""
        from paddle import inference  # noqa: PLC0415 (tests run this module without Paddle)

        config = inference.Config(str(file), str(file.with_suffix(WEIGHTS_SUFFIX)))
        config.disable_gpu()
        config.disable_mkldnn()  # with it, 3.3.1 cannot run what 3.x exports
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(threads)
        self._predictor = inference.create_predictor(config)
        self.inputs: list[str] = self._predictor.get_input_names()
        self.outputs: list[str] = self._predictor.get_output_names()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name, from inputs by name; raises whatever Paddle raises."""
        for name in self.inputs:
            self._predictor.get_input_handle(name).copy_from_cpu(inputs[name])
        self._predictor.run()
        handles = {name: self._predictor.get_output_handle(name) for name in self.outputs}
        return {name: handle.copy_to_cpu() for name, handle in handles.items()}


def error_message(error: Exception) -> str:
    """Paddle's message without the stack before it and the hints behind it, as one line."""
    text = str(error).split("Error Message Summary:")[-1]
    found = ERROR_SUMMARY.search(text)
    return " ".join((found.group() if found else text).split()) or type(error).__name__
