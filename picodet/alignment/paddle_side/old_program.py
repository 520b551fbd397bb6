"""Runs programs as Paddle 2 wrote them: `.pdmodel`. Imported in Paddle's process only."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from picodet.formats.inference_folder import WEIGHTS
from picodet.graphs import pdmodel


class OldProgram:
    """A loaded program, its graph, and how to run it."""

    def __init__(self, prefix: Path) -> None:
        read = pdmodel.read(prefix.with_suffix(".pdmodel"), prefix.with_suffix(WEIGHTS))
        self.graph = read.graph
        self.input_shape = list(read.shapes[read.graph.inputs[0]])
        with _old_mode():
            self._executor = paddle.static.Executor(paddle.CPUPlace())
            self._program = paddle.static.load_inference_model(str(prefix), self._executor)[0]

    def run(self, feed: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """The values of the named tensors."""
        with _old_mode():
            return list(self._executor.run(self._program, dict(feed), list(names)))


def _old_mode() -> AbstractContextManager[Any]:
    """Paddle 3 reads a .pdmodel only like this; Paddle 2 knows no other way."""
    guard: type[AbstractContextManager[Any]]
    guard = getattr(paddle.pir_utils, "OldIrGuard", nullcontext)
    return guard()
