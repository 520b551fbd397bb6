"""A stand-in for paddle.inference.

A program is {"inputs": [name ..], "outputs": [[name, shape, value] ..]} and perhaps "refuse" or
"fail", messages of errors when it is loaded and run, or "die", an exit code when it is run. A value
"sum" is that of the image; "inf" is infinite; a list is the array itself.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np


class Config:
    """Has the methods of the real one."""

    def __init__(self, program: str, weights: str) -> None:
        sys.stdout.write("Paddle says hello\n")  # as the real one does, in C++ too
        os.write(1, b"{}\n")
        assert not sys.stdin.read()
        assert Path(weights).is_file()
        self.content = json.loads(Path(program).read_text())
        self.threads = 0

    def disable_gpu(self) -> None:
        pass

    disable_mkldnn = disable_glog_info = disable_gpu

    def set_cpu_math_library_num_threads(self, threads: int) -> None:
        self.threads = threads


class Handle:
    """The handle of an input or output."""

    def copy_from_cpu(self, array: np.ndarray) -> None:
        self.array = array

    def copy_to_cpu(self) -> np.ndarray:
        return self.array


class Predictor:
    """The predictor that create_predictor returns."""

    def __init__(self, config: Config) -> None:
        self.content, self.threads = config.content, config.threads
        outputs = [name for name, _, _ in self.content["outputs"]]
        self.handles = {name: Handle() for name in self.content["inputs"] + outputs}

    def get_input_names(self) -> list[str]:
        return list(self.content["inputs"])

    def get_output_names(self) -> list[str]:
        return [name for name, _, _ in self.content["outputs"]]

    def get_input_handle(self, name: str) -> Handle:
        return self.handles[name]

    get_output_handle = get_input_handle

    def run(self) -> None:
        sys.stdout.write("running\n")
        if "fail" in self.content:
            raise RuntimeError(self.content["fail"])
        if "die" in self.content:
            os.write(2, b"I am dying\n\n")
            os._exit(self.content["die"])
        inputs = [self.handles[name].array for name in self.content["inputs"]]
        known = {
            "sum": inputs[0].sum(),
            "inf": np.inf,
            "threads": self.threads,
            "last": inputs[-1].reshape(-1)[0],
        }
        for name, shape, value in self.content["outputs"]:
            array = np.empty(shape, np.int32 if name == "numbers" else np.float32)
            array[...] = known[value] if isinstance(value, str) else value
            self.handles[name].array = array


def create_predictor(config: Config) -> Predictor:
    if "refuse" in config.content:
        raise RuntimeError(config.content["refuse"])
    return Predictor(config)
