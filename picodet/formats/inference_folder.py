"""The files of a Paddle inference folder, as ppdet's export_model.py writes it.

A program, `.pdmodel` or, from Paddle 3 on, `.json`, and its weights in a `.pdiparams`. A
`.pdiparams.info` is a pickle, and never run (picodet.graphs.inference_folder).
"""

from pathlib import Path

from picodet.errors import CheckpointError

PROGRAMS = ("model.pdmodel", "inference.pdmodel", "model.json", "inference.json")
WEIGHTS = ".pdiparams"


def is_inference_folder(folder: Path) -> bool:
    """Whether it has a program, or weights that one belongs to."""
    return any((folder / name).is_file() for name in PROGRAMS) or any(folder.glob(f"*{WEIGHTS}"))


def is_part_of_program(file: Path) -> bool:
    """Whether it is one of the two files that only mean something together."""
    return file.name in PROGRAMS or file.suffix == WEIGHTS


def program_file(folder: Path) -> Path:
    """The program of an inference folder; its weights lie beside it.

    Raises CheckpointError where there is not exactly one, with weights.
    """
    found = [folder / name for name in PROGRAMS if (folder / name).is_file()]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none of them"
        raise CheckpointError(
            f"{folder}: one program, {', '.join(PROGRAMS[:-1])} or {PROGRAMS[-1]}, is expected, "
            f"found {names}"
        )
    if not found[0].with_suffix(WEIGHTS).is_file():
        raise CheckpointError(f"{found[0]}: there is no {found[0].stem}{WEIGHTS} beside it")
    return found[0]
