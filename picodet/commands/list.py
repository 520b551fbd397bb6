"""`picodet list`: the official models."""

from pathlib import Path

import click

from picodet.commands.common import Command
from picodet.commands.params import OutputFile
from picodet.files import write_json


@click.command(cls=Command)
@click.option("--json", "json_file", type=OutputFile(), help="Write the list for machines.")
def list_models(json_file: Path | None) -> None:
    """List the official PicoDets: parameters, published AP, and where their weights are.

    Any of the names can stand in the place of a file; what it names is fetched once.
    """
    from picodet.commands.model_tables import print_models, rows

    models = rows()
    print_models(models)
    if json_file:
        write_json(json_file, [model.as_json() for model in models])
