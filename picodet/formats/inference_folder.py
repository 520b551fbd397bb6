"""Finds the files of a Paddle inference folder, as ppdet's export_model.py and PaddleX write it.

A program, `.pdmodel` or, from Paddle 3 on, `.json`, its weights in a `.pdiparams`, and settings. A
`.pdiparams.info` is a pickle, which is never executed (picodet.graphs.inference_folder).
"""

from pathlib import Path

from picodet.errors import CheckpointError

PROGRAM_NAMES = ("model.pdmodel", "inference.pdmodel", "model.json", "inference.json")
WEIGHTS_SUFFIX = ".pdiparams"
SETTINGS_NAMES = (
    "infer_cfg.yml",
    "inference.yml",
)  # of PaddleDetection; of PaddleX and PaddleOCR 3


def is_inference_folder(folder: Path) -> bool:
    """Whether it has a program, or the weights of one."""
    return any((folder / name).is_file() for name in PROGRAM_NAMES) or any(
        folder.glob(f"*{WEIGHTS_SUFFIX}")
    )


def is_part_of_program(file: Path) -> bool:
    """Whether a file is a program or its weights, which are only useful together."""
    return file.name in PROGRAM_NAMES or file.suffix == WEIGHTS_SUFFIX


def find_program(folder: Path) -> Path:
    """The program of an inference folder; its weights lie beside it.

    Raises CheckpointError where there is not exactly one, with weights.
    """
    found = [folder / name for name in PROGRAM_NAMES if (folder / name).is_file()]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "no program"
        raise CheckpointError(
            f"{folder}: found {names}; expected one program, {', '.join(PROGRAM_NAMES[:-1])} or "
            f"{PROGRAM_NAMES[-1]}"
        )
    if not found[0].with_suffix(WEIGHTS_SUFFIX).is_file():
        raise CheckpointError(f"{found[0]}: expected {found[0].stem}{WEIGHTS_SUFFIX} beside it")
    return found[0]
