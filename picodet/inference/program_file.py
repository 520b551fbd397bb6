"""The files of a Paddle inference folder, as ppdet's export_model.py writes it.

A program, `.pdmodel` or, from Paddle 3 on, `.json`, and its weights in a `.pdiparams`. A
`.pdiparams.info` is a pickle and never read.
"""

from pathlib import Path

from picodet.errors import CheckpointError

PROGRAMS = ("model.pdmodel", "inference.pdmodel", "model.json", "inference.json")
WEIGHTS = ".pdiparams"


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
