"""The command line: the group and its entry points. Each command is a module of `picodet.commands`.

Exit codes: 0 done, 1 refused or incomplete, 2 wrong usage; of align 0 aligned, 1 differs, 2 could
not be compared. Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

import atexit
import gc

import click

from picodet.commands.align import align
from picodet.commands.convert import convert
from picodet.commands.data.convert import data
from picodet.commands.detect import detect
from picodet.commands.evaluate import evaluate
from picodet.commands.export import export
from picodet.commands.list import list_models
from picodet.commands.train import train
from picodet.version import __version__

atexit.register(gc.freeze)  # saves the garbage collection at exit


@click.group()
@click.version_option(__version__)
def main() -> None:
    """PP-PicoDet detectors from Paddle in PyTorch, proven to have arrived unchanged."""


main.add_command(convert)
main.add_command(detect)
main.add_command(align)
main.add_command(evaluate, "eval")
main.add_command(export)
main.add_command(train)
main.add_command(data)
main.add_command(list_models, "list")
