"""`picodet list`: the official models."""

from pathlib import Path

import click

from picodet.commands.common import Command
from picodet.commands.params import OutputFile
from picodet.files import write_json


@click.command(cls=Command)
@click.option("--json", "json_file", type=OutputFile(), help="Write the list as JSON.")
def list_models(json_file: Path | None) -> None:
    """List the official PicoDets: parameters, published AP, and where their weights are.

    Each name can be given instead of a file; its weights are downloaded once.
    """
    from picodet.commands.model_tables import print_models, rows

    models = rows()
    print_models(models)
    if json_file:
        write_json(json_file, [model.as_json() for model in models])
