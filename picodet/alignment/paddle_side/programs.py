"""Runs the program of an inference folder and records it. Imported in Paddle's process only."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle

from picodet.alignment.paddle_side.new_program import NewProgram
from picodet.alignment.paddle_side.old_program import OldProgram
from picodet.alignment.recording.writer import RecordingWriter
from picodet.alignment.reference.static_graph import ProgramRecord, check_input, record_graph
from picodet.errors import RecordingError
from picodet.formats.inference_folder import program_file


def record_program(
    folder: Path,
    writer: RecordingWriter,
    images: np.ndarray,
    scale_factor: np.ndarray,
    progress: Callable[[int, int], None],
) -> ProgramRecord:
    """Run the program on images [1, 3, H, W] and scale_factor [2] (y, x), on the CPU.

    Raises CheckpointError for a folder that is none, RecordingError for a program that is no
    PicoDet's.
    """
    file = program_file(folder)
    paddle.enable_static()
    kind = OldProgram if file.suffix == ".pdmodel" else NewProgram
    try:
        program = kind(file.with_suffix(""))
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        reason = str(error).strip().split("\n")[-1]
        raise RecordingError(f"{file}: Paddle cannot load it: {reason}") from error
    check_input(images, program.input_shape)
    fed = {"scale_factor": scale_factor.reshape(1, 2).astype(np.float32)}
    fed[program.graph.inputs[0]] = images.astype(np.float32)
    feed = {name: fed[name] for name in program.graph.inputs if name in fed}
    if unknown := set(program.graph.inputs) - set(feed):
        raise RecordingError(
            f"{file}: wants the inputs {', '.join(sorted(unknown))} besides the picture; of them "
            "only scale_factor is known"
        )
    return record_graph(program.graph, lambda names: program.run(feed, names), writer, progress)
