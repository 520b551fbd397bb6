"""Runs programs as Paddle 3 writes them: `.json`, in its intermediate representation PIR.

Imported in Paddle's process only.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import paddle

from picodet.errors import RecordingError
from picodet.formats.inference_folder import WEIGHTS
from picodet.graphs import pir


class NewProgram:
    """A loaded program, its graph, and how to run it."""

    def __init__(self, prefix: Path) -> None:
        read = pir.read(prefix.with_suffix(".json"), prefix.with_suffix(WEIGHTS))
        self.graph = read.graph
        self.input_shape = list(read.shapes[read.graph.inputs[0]])
        # with it, an operator may overwrite what it was given before that is fetched
        paddle.set_flags({"FLAGS_pir_apply_inplace_pass": False})
        self._executor = paddle.static.Executor(paddle.CPUPlace())
        self._program = paddle.static.load_inference_model(str(prefix), self._executor)[0]
        operators = list(self._program.global_block().ops)
        if tuple(op.name() for op in operators) != read.operators:
            raise RecordingError(
                f"{prefix}.json: Paddle {paddle.__version__} changes its operators as it loads "
                "it; the version that wrote it is expected"
            )
        results = [op.results() for op in operators]
        self._values = {name: results[i][j] for name, (i, j) in read.places.items()}
        for op in operators:
            if op.name() == pir.FETCH:
                op.erase()  # `run` fetches into the same places

    def run(self, feed: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """The values of the named tensors."""
        fetched = [self._values[name] for name in names]
        return list(self._executor.run(self._program, feed=dict(feed), fetch_list=fetched))
