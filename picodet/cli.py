"""The commands. Each loads, calls one function, shows the value and sets the exit code.

Exit codes: 0 done, 1 refused or incomplete, 2 wrong usage; of align 0 aligned, 1 differs, 2 could
not be compared. Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

import atexit
import gc
from contextlib import closing
from pathlib import Path

import click

from picodet import __version__
from picodet.cli_align import align
from picodet.cli_eval import evaluate
from picodet.cli_export import export
from picodet.command import FILE, Command, Size, network_options
from picodet.files import write_json

atexit.register(gc.freeze)  # Python searches for garbage once more on the way out


@click.group()
@click.version_option(__version__)
def main() -> None:
    """PP-PicoDet detectors from Paddle in PyTorch, proven to have arrived unchanged."""


@main.command(cls=Command)
@click.argument("source", type=FILE)
@click.argument("output", type=FILE)
@click.option("--config", metavar="NAME", help="Official name, such as picodet_s_416_coco.")
@click.option("--input-size", type=Size(), help="416, or 800x608 for height and width.")
@click.option("--classes", type=FILE, help="Class names, one per line.")
@click.option("--allow-nonfinite", is_flag=True, help="Convert weights that are NaN or Inf.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@click.option("--json", "json_file", type=FILE, help="Write the report for machines.")
def convert(
    source: Path,
    output: Path,
    config: str | None,
    input_size: tuple[int, int] | None,
    classes: Path | None,
    allow_nonfinite: bool,
    overwrite: bool,
    json_file: Path | None,
) -> None:
    """Turn SOURCE, a .pdparams of PaddleDetection, into OUTPUT, a .pth or .safetensors.

    Paddle is not needed, and nothing in SOURCE is run. What the tensors do not tell, the input
    size and the names of the classes, is taken from the options or from the name of SOURCE.
    """
    from dataclasses import asdict

    from picodet import port
    from picodet.class_names import read_class_names
    from picodet.converter.configure import Wanted

    wanted = Wanted(config, input_size, read_class_names(classes) if classes else None)
    try:
        report = port.port_checkpoint(source, output, wanted, overwrite, allow_nonfinite)
    except port.IncompleteError as error:
        from picodet.conversion_table import print_problems

        print_problems(error.problems)
        raise
    from picodet.conversion_table import print_report  # only now that the weights are gone

    print_report(report)
    if json_file:
        write_json(json_file, asdict(report))


@main.command(cls=Command)
@click.argument("model", type=FILE)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option(
    "--out", type=FILE, default="detections", show_default=True, help="Folder for drawn pictures."
)
@click.option("--score", type=click.FloatRange(0, 1), default=0.4, show_default=True)
@click.option(
    "--interp",
    type=click.IntRange(0, 4),
    help="Resize: 0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos.  [default: the model's own, 2]",
)
@network_options
@click.option("--json", "json_file", type=FILE, help="Write the detections for machines.")
@click.pass_context
def detect(
    ctx: click.Context,
    model: Path,
    images: tuple[str, ...],
    out: Path,
    score: float,
    interp: int | None,
    backend: str,
    device: str,
    input_size: tuple[int, int] | None,
    paddle_python: Path | None,
    json_file: Path | None,
) -> None:
    """Find objects in pictures with MODEL, draw them, and print a table.

    MODEL is a .pth or .safetensors, an .onnx, or a Paddle inference folder. IMAGE is a file, a
    folder or a pattern. A picture that cannot be used is reported and the others go on; the exit
    code is then 1.
    """
    from rich.console import Console
    from rich.progress import track

    from picodet import gallery
    from picodet.detection_table import print_detections
    from picodet.inference.opening import Running, open_network

    network = open_network(model, Running(backend, device, input_size, paddle_python))
    for note in network.spec.notes:
        click.echo(f"Note: {note}", err=True)
    pictures, unusable = gallery.find(images)
    progress = Console(stderr=True)
    work = track(
        gallery.detect_all(network, pictures, out, score, interp),
        description="detecting",
        total=len(pictures),
        console=progress,
        disable=not progress.is_terminal,
    )
    with closing(network):
        outcomes = [*work, *unusable]
    drawn = [outcome for outcome in outcomes if isinstance(outcome, gallery.Drawn)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, gallery.Failed)]
    print_detections(drawn)
    if json_file:
        write_json(json_file, [outcome.as_json() for outcome in outcomes])
    for outcome in failed:
        click.echo(f"Error: {outcome.error}", err=True)
    click.echo(f"{len(drawn)} of {len(outcomes)} pictures drawn in {out}")
    if failed:
        ctx.exit(1)


main.add_command(align)
main.add_command(evaluate, "eval")
main.add_command(export)
