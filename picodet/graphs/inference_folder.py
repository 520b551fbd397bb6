"""Reads a Paddle inference folder of any version of Paddle, without Paddle."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from picodet.config import MAX_NUMBER, SIZE_DIVISOR, NMSSettings, feature_map_sizes
from picodet.errors import CheckpointError, PicoDetError
from picodet.formats.array_unpickler import unpickle
from picodet.formats.inference_folder import WEIGHTS_SUFFIX, find_program
from picodet.formats.pickle_opcodes import DamagedError, RefusedError
from picodet.formats.settings.infer_cfg import InferConfig, read_infer_cfg
from picodet.graphs import pdmodel, pir
from picodet.graphs.graph import Graph
from picodet.graphs.program import Program, read_bytes

DEFAULT_NMS = NMSSettings()
INFO_SUFFIX = WEIGHTS_SUFFIX + ".info"
MAX_INFO_BYTES = 4_000_000  # bytes; S-416's has 60,000


@dataclass(frozen=True)
class InferenceFolder:
    """The content of an inference folder."""

    file: Path  # the program's
    weights: Path
    program: Program
    settings: InferConfig | None  # of the file beside it, if there is one; its labels may be wrong
    structured_names: Mapping[
        str, str
    ]  # ppdet's names of weights by Paddle's, where they are known


def read_folder(folder: Path) -> InferenceFolder:
    """Read a folder's program, weights and settings.

    Raises CheckpointError for damaged or unexpected files, GraphError for an invalid network.
    """
    file = find_program(folder)
    program = _read_program(file)
    return InferenceFolder(
        file=file,
        weights=file.with_suffix(WEIGHTS_SUFFIX),
        program=program,
        settings=read_infer_cfg(folder),
        structured_names=_structured_names(file.with_suffix(INFO_SUFFIX), program.graph),
    )


def _read_program(file: Path) -> Program:
    read = pdmodel.read if file.suffix == ".pdmodel" else pir.read
    return read(file, file.with_suffix(WEIGHTS_SUFFIX))


class StatedSize(NamedTuple):
    """The input size of a folder, (height, width), and a note where two sizes are stated."""

    size: tuple[int, int] | None
    note: str | None = None


def read_size(folder: Path, settings: InferConfig | None) -> StatedSize:
    """The input size of a folder; a program that cannot be read, which Paddle may run, has none."""
    try:
        program = _read_program(find_program(folder))
    except PicoDetError:
        return StatedSize(settings.size if settings else None)
    return stated_size(program, settings)


def stated_size(program: Program, settings: InferConfig | None) -> StatedSize:
    """The size that the program states, else that of the settings.

    A program states it in the shape of its image, or, if that is dynamic, by the number of anchor
    points that it decodes.
    """
    by_settings = settings.size if settings else None
    *_, height, width = (None, None, *program.shapes[program.graph.inputs[0]])
    by_program = (height, width) if height and width else _decoded_size(program.graph, by_settings)
    if settings is None or by_settings is None or by_program in (None, by_settings):
        return StatedSize(by_program or by_settings)
    return StatedSize(
        by_program,
        f"{settings.file} states an input of {_text(by_settings)}, the program one of "
        f"{_text(by_program)}, which was used",
    )


def stated_nms(program: Program, settings: InferConfig | None) -> NMSSettings | None:
    """The numbers of the program's own NMS, else those of the settings; None for ppdet's own."""
    own = [node.settings for node in program.graph.nodes if node.kind == "nms"]
    stated = settings.nms if settings else None
    if len(own) == 1:
        stated = NMSSettings(**own[0])
    return None if stated == DEFAULT_NMS else stated


def _decoded_size(graph: Graph, expected: tuple[int, int] | None) -> tuple[int, int] | None:
    """`expected`, or a square, that has as many anchor points as a constant [A, 2] of the graph."""
    counts = {array.shape[0] for array in graph.constants.values() if array.shape[1:] == (2,)}
    squares = ((side, side) for side in range(SIZE_DIVISOR, MAX_NUMBER + 1, SIZE_DIVISOR))
    for size in (*([expected] if expected else ()), *squares):
        if sum(height * width for height, width in feature_map_sizes(size)) in counts:
            return size
    return None


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _structured_names(path: Path, graph: Graph) -> dict[str, str]:
    """ppdet's names in a `.pdiparams.info`, a pickle; empty without that file.

    It may name more than the program has, such as weights that only an export with NMS needs.
    """
    if not path.is_file():
        return {}
    try:
        content = unpickle(read_bytes(path, MAX_INFO_BYTES))
    except (RefusedError, DamagedError) as error:
        raise _unreadable(path, f"it holds {error}; nothing of it was run") from None
    names: dict[str, str] = {}
    for variable, entry in content.items() if isinstance(content, dict) else [("", None)]:
        match entry:
            case {"structured_name": str(name)}:
                names[variable] = name
            case dict():
                pass
            case _:
                raise _unreadable(path, "not a dictionary of names")
    known = {variable: name for variable, name in names.items() if variable in graph.constants}
    if names and not known:
        raise _unreadable(path, "none of the weights it names is in the program")
    if len(set(known.values())) < len(known):
        raise _unreadable(path, "it gives two weights the same name")
    return known


def _unreadable(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: {why}. Expected ppdet's names of the weights beside it; the folder can be read "
        "without this file too"
    )
