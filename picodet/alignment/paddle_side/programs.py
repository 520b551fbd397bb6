"""Records a run of an inference folder's program. Imported in Paddle's process only."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from picodet.alignment.recording.writer import RecordingWriter
from picodet.alignment.reference.static_graph import GraphRecord, check_input, record_graph
from picodet.errors import RecordingError
from picodet.formats.inference_folder import WEIGHTS_SUFFIX, find_program
from picodet.graphs import pdmodel, pir


class PdmodelProgram:
    """A loaded `.pdmodel` program and its graph."""

    def __init__(self, prefix: Path) -> None:
        """prefix: the program's path without suffix. Raises what pdmodel.read and Paddle raise."""
        parsed = pdmodel.read(prefix.with_suffix(".pdmodel"), prefix.with_suffix(WEIGHTS_SUFFIX))
        self.graph = parsed.graph
        self.input_shape = list(parsed.shapes[parsed.graph.inputs[0]])
        with _legacy_ir():
            self._executor = paddle.static.Executor(paddle.CPUPlace())
            self._program = paddle.static.load_inference_model(str(prefix), self._executor)[0]

    def run(self, feed: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """The values of the named tensors."""
        with _legacy_ir():
            return list(self._executor.run(self._program, dict(feed), list(names)))


def _legacy_ir() -> AbstractContextManager[Any]:
    """Paddle 3 reads a .pdmodel only like this; Paddle 2 knows no other way."""
    guard: type[AbstractContextManager[Any]]
    guard = getattr(paddle.pir_utils, "OldIrGuard", nullcontext)
    return guard()


class PirProgram:
    """A loaded PIR program (`.json`, Paddle 3) and its graph."""

    def __init__(self, prefix: Path) -> None:
        """prefix: the program's path without suffix. Raises what pir.read and Paddle raise, and
        RecordingError where Paddle changes the program. Sets a global flag of Paddle.
        """
        parsed = pir.read(prefix.with_suffix(".json"), prefix.with_suffix(WEIGHTS_SUFFIX))
        self.graph = parsed.graph
        self.input_shape = list(parsed.shapes[parsed.graph.inputs[0]])
        # with the pass, an operator may overwrite its input before that is fetched
        paddle.set_flags({"FLAGS_pir_apply_inplace_pass": False})
        self._executor = paddle.static.Executor(paddle.CPUPlace())
        self._program = paddle.static.load_inference_model(str(prefix), self._executor)[0]
        operators = list(self._program.global_block().ops)
        if tuple(op.name() for op in operators) != parsed.operators:
            raise RecordingError(
                f"{prefix}.json: Paddle {paddle.__version__} changes the program's operators on "
                "loading; use the Paddle version that wrote it"
            )
        results = [op.results() for op in operators]
        self._values = {name: results[i][j] for name, (i, j) in parsed.results.items()}
        for op in operators:
            if op.name() == pir.FETCH:
                op.erase()  # `run` fetches into the same slots

    def run(self, feed: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """The values of the named tensors."""
        fetched = [self._values[name] for name in names]
        return list(self._executor.run(self._program, feed=dict(feed), fetch_list=fetched))


def record_program(
    folder: Path,
    writer: RecordingWriter,
    images: np.ndarray,
    scale_factor: np.ndarray,
    progress: Callable[[int, int], None],
) -> GraphRecord:
    """Run the program on images [1, 3, H, W] and scale_factor [2] (y, x), on the CPU.

    Switches Paddle to static mode. Raises CheckpointError or GraphError for a folder without a
    program or for a program that is not a PicoDet's, RecordingError where it cannot be run.
    """
    file = find_program(folder)
    paddle.enable_static()
    program_class = PdmodelProgram if file.suffix == ".pdmodel" else PirProgram
    try:
        program = program_class(file.with_suffix(""))
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        reason = str(error).strip().split("\n")[-1]
        raise RecordingError(f"{file}: Paddle cannot load it: {reason}") from error
    check_input(images, program.input_shape)
    known_inputs = {"scale_factor": scale_factor.reshape(1, 2).astype(np.float32)}
    known_inputs[program.graph.inputs[0]] = images.astype(np.float32)
    feed = {name: known_inputs[name] for name in program.graph.inputs if name in known_inputs}
    if unknown := set(program.graph.inputs) - set(feed):
        raise RecordingError(
            f"{file}: unknown inputs {', '.join(sorted(unknown))}; expected the image and "
            "scale_factor only"
        )
    return record_graph(program.graph, lambda names: program.run(feed, names), writer, progress)
