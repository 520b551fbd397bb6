"""Parameter types of the commands: files that are read or written, numbers, sizes, layouts.

The types state which files a command reads and writes; picodet.commands.common.Command checks
before any work is done that no input is overwritten.
"""

from collections.abc import Callable
from functools import wraps
from math import isfinite
from pathlib import Path
from typing import Any

import click

from picodet.commands.run_files import RESULT_SUFFIXES, RunFiles
from picodet.files import check_folder, check_writable
from picodet.formats.inference_folder import (
    PROGRAM_NAMES,
    SETTINGS_NAMES,
    WEIGHTS_SUFFIX,
    is_part_of_program,
)

CHECKPOINT_SUFFIXES = (".pdparams", ".pdema")
MAX_SEED = 2**63 - 1  # what torch's generators take


class FilePath(click.ParamType):
    """A path: not empty, and without a NUL."""

    name = "PATH"

    def __init__(self, of: type = Path) -> None:
        """of: the type of the value; str for what may be something else than a path."""
        self.of = of

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        text = str(value)
        if not text.strip():
            self.fail("the name is empty", param, ctx)
        if "\0" in text:
            self.fail(f"{text!r}: a name cannot contain a NUL", param, ctx)
        made: Path | str = self.of(value)
        return made


class InputPath(FilePath):
    """A path that is read: a file, or a folder with its content."""

    def declare(self, files: RunFiles, path: Path) -> None:
        """Declare the files that are read."""
        files.reads(path)


class ModelPath(InputPath):
    """A model in any form, and the files beside it that are read with it."""

    def declare(self, files: RunFiles, path: Path) -> None:
        files.reads(path)
        siblings: list[str] = []
        if path.suffix in CHECKPOINT_SUFFIXES:
            siblings = [path.stem + suffix for suffix in CHECKPOINT_SUFFIXES]
        elif is_part_of_program(path):
            siblings = [*PROGRAM_NAMES, path.stem + WEIGHTS_SUFFIX, *SETTINGS_NAMES]
        for name in siblings:
            files.reads(path.parent / name)


class ImageFolder(InputPath):
    """A folder of images; reports may lie among them."""

    def declare(self, files: RunFiles, path: Path) -> None:
        files.reads(path, ignored_suffixes=RESULT_SUFFIXES)


class CocoFolder(InputPath):
    """A folder in COCO's layout; other files in it are not read."""

    def declare(self, files: RunFiles, path: Path) -> None:
        files.reads(path / "annotations")
        for part in ("train2017", "val2017"):
            files.reads(path / part, ignored_suffixes=RESULT_SUFFIXES)


class DatasetPath(ImageFolder):
    """A dataset in COCO's, Pascal VOC's or YOLO's form: its folder, or a data.yaml."""


class OutputFile(FilePath):
    """A file that is written. In commands with `--overwrite` an existing one stays without it."""

    def declare(self, files: RunFiles, path: Path) -> None:
        """Declare the files that are written."""
        files.writes(path)

    def check(self, path: Path, overwrite: bool) -> None:
        """Raise OutputError where `path` cannot be written; called before any work is done."""
        check_writable(path, overwrite)


class OutputModel(OutputFile):
    """A file, or a folder in Hugging Face's form, by the suffix."""

    FILES = (
        "config.json",
        "model.safetensors",
        "modeling_picodet.py",
        "preprocessor_config.json",
    )

    def declare(self, files: RunFiles, path: Path) -> None:
        files.writes(path)
        if not path.suffix:
            files.writes_into(path, self.FILES)

    def check(self, path: Path, overwrite: bool) -> None:
        """Nothing: the writer checks it, as it knows whether a file or a folder is written."""


class OutputFolder(OutputFile):
    """A folder, created if it is missing, and the files that are written into it."""

    def __init__(self, *names: str) -> None:
        """names: files and folders that are written into it, or glob patterns."""
        super().__init__()
        self.names = names

    def declare(self, files: RunFiles, path: Path) -> None:
        files.writes(path)
        files.writes_into(path, self.names)

    def check(self, path: Path, overwrite: bool) -> None:
        check_folder(path)


class FiniteFloat(click.FloatRange):
    """A number in a range, neither NaN nor Inf; click's own range check lets NaN pass."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class Size(click.ParamType):
    """`416`, or `800x608` for height and width."""

    name = "SIZE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        sides = str(value).lower().split("x")
        if len(sides) > 2 or not all(
            side.isascii() and side.isdecimal() and len(side) < 10 for side in sides
        ):
            self.fail(f"{value!r}: 416, or 800x608 for height and width", param, ctx)
        return int(sides[0]), int(sides[-1])


PADDLEX_LAYOUT = "paddlex-layout"  # of --postprocess
LAYOUT_OPTIONS = (
    click.option(
        "--layout-threshold",
        metavar="VALUE|CLASS=VALUE",
        multiple=True,
        help="paddlex-layout: a region has a greater score; of all classes, or again for one.  "
        "[default: 0.5]",
    ),
    click.option(
        "--layout-nms/--no-layout-nms",
        default=None,
        help="Suppress regions by IoU: 0.6 within a class, 0.98 between classes.  [default: no]",
    ),
    click.option(
        "--layout-unclip",
        metavar="RATIO|CLASS=RATIO",
        multiple=True,
        help="Multiply the sides of regions: 1.1, or 1.1x1.2 for width and height.",
    ),
    click.option(
        "--layout-merge",
        metavar="MODE|CLASS=MODE",
        multiple=True,
        help="Of regions that lie in others keep all (union), the outer (large) or the inner ones "
        "(small).  [default: union]",
    ),
    click.option(
        "--layout-settings",
        type=InputPath(),
        help="YAML or JSON file with these settings, under PaddleX's keys.",
    ),
)


def layout_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator that adds the options of paddlex-layout to a command with `--postprocess`.

    The command gets them as `layout`, a LayoutOptions, or None where another is asked for.
    """

    @wraps(command)
    def with_layout(
        *args: Any,
        postprocess: str,
        layout_threshold: tuple[str, ...],
        layout_nms: bool | None,
        layout_unclip: tuple[str, ...],
        layout_merge: tuple[str, ...],
        layout_settings: Path | None,
        **others: Any,
    ) -> Any:
        given = (layout_threshold, layout_nms, layout_unclip, layout_merge, layout_settings)
        layout = None
        if postprocess == PADDLEX_LAYOUT:
            from picodet.inference.layout_options import options_from_text

            layout = options_from_text(*given)
        elif any(value not in (None, ()) for value in given):
            raise click.UsageError(
                f"--layout-.. options are of --postprocess {PADDLEX_LAYOUT}, found {postprocess}; "
                "give it too, or leave them out"
            )
        return command(*args, postprocess=postprocess, layout=layout, **others)

    for option in reversed(LAYOUT_OPTIONS):
        with_layout = option(with_layout)
    return with_layout
