"""The files of a Paddle inference folder, as ppdet's export_model.py writes it.

A program, `.pdmodel` or, from Paddle 3 on, `.json`, and its weights in a `.pdiparams`. A
`.pdiparams.info` is a pickle, and never run (picodet.graphs.inference_folder).
"""

from pathlib import Path

from picodet.errors import CheckpointError

PROGRAM_NAMES = ("model.pdmodel", "inference.pdmodel", "model.json", "inference.json")
WEIGHTS_SUFFIX = ".pdiparams"


def is_inference_folder(folder: Path) -> bool:
    """Whether it has a program, or weights that one belongs to."""
    return any((folder / name).is_file() for name in PROGRAM_NAMES) or any(
        folder.glob(f"*{WEIGHTS_SUFFIX}")
    )


def is_part_of_program(file: Path) -> bool:
    """Whether it is one of the two files that only mean something together."""
    return file.name in PROGRAM_NAMES or file.suffix == WEIGHTS_SUFFIX


def find_program(folder: Path) -> Path:
    """The program of an inference folder; its weights lie beside it.

    Raises CheckpointError where there is not exactly one, with weights.
    """
    found = [folder / name for name in PROGRAM_NAMES if (folder / name).is_file()]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none of them"
        raise CheckpointError(
            f"{folder}: one program, {', '.join(PROGRAM_NAMES[:-1])} or {PROGRAM_NAMES[-1]}, is "
            "expected, "
            f"found {names}"
        )
    if not found[0].with_suffix(WEIGHTS_SUFFIX).is_file():
        raise CheckpointError(f"{found[0]}: there is no {found[0].stem}{WEIGHTS_SUFFIX} beside it")
    return found[0]
