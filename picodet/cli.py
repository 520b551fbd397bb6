"""The commands. Each loads, calls one function, shows the value and sets the exit code.

Exit codes: 0 done, 1 refused or incomplete, 2 wrong usage; of align 0 aligned, 1 differs, 2 could
not be compared. Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

import atexit
import errno
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from picodet import __version__
from picodet.errors import PicoDetError
from picodet.files import check_apart, check_writable, write_json, write_text

FILE = click.Path(path_type=Path)

# Python searches all objects for garbage again and again while torch is imported, and once more on
# the way out, and finds nothing: a fifth of the time of picodet-convert (benchmarks/convert.py).
GARBAGE = 200_000  # new objects before it searches
atexit.register(gc.freeze)


class NotComparedError(click.ClickException):
    """1 says that two models differ; this is neither that nor its contrary."""

    exit_code = 2


class Command(click.Command):
    """A command whose errors are for people and, with `--json`, for machines; no traceback."""

    failure = click.ClickException  # what a user can put right is shown as; 1

    def invoke(self, ctx: click.Context) -> Any:
        usual = gc.get_threshold()
        gc.set_threshold(GARBAGE)
        try:
            return self._invoke_with_json(ctx, ctx.params.get("json_file"))
        except PicoDetError as error:
            raise self.failure(str(error)) from error
        except OSError as error:  # of the terminal, or of the file it is redirected to
            if error.errno == errno.EPIPE:
                raise  # click knows what to do when nobody reads on
            raise click.ClickException(f"cannot print: {error.strerror}") from error
        finally:
            gc.set_threshold(*usual)

    def _invoke_with_json(self, ctx: click.Context, json_file: Path | None) -> Any:
        if json_file is None:
            return super().invoke(ctx)
        check_writable(json_file, overwrite=True)
        others = [v for k, v in ctx.params.items() if isinstance(v, Path) and k != "json_file"]
        check_apart(json_file, [*others, *map(Path, ctx.params.get("images", ()))])
        try:
            return super().invoke(ctx)
        except PicoDetError as error:
            write_json(json_file, error.as_json())
            raise


class Comparing(Command):
    """A command that compares."""

    failure = NotComparedError


class Align(click.Group):
    """`picodet-align REFERENCE MODEL`, with `record` as the one word that is no reference."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] not in (["record"], ["compare"]):
            args = ["compare", *args]
        return super().parse_args(ctx, args)


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, silent when that is no terminal; yields what moves it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class Size(click.ParamType):
    """`416`, or `800x608` for height and width."""

    name = "SIZE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        sides = str(value).lower().split("x")
        if len(sides) > 2 or not all(side.isascii() and side.isdecimal() for side in sides):
            self.fail(f"{value!r}: 416, or 800x608 for height and width", param, ctx)
        return int(sides[0]), int(sides[-1])


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
@click.option("--json", "json_file", type=FILE, help="Write the detections for machines.")
@click.pass_context
def detect(
    ctx: click.Context,
    model: Path,
    images: tuple[str, ...],
    out: Path,
    score: float,
    interp: int | None,
    json_file: Path | None,
) -> None:
    """Find objects in pictures with MODEL, draw them, and print a table.

    IMAGE is a file, a folder or a pattern. A picture that cannot be used is reported and the
    others go on; the exit code is then 1.
    """
    from rich.console import Console
    from rich.progress import track

    from picodet import gallery
    from picodet.detection_table import print_detections
    from picodet.models.checkpoint import load

    detector = load(model)
    pictures, unusable = gallery.find(images)
    progress = Console(stderr=True)
    work = track(
        gallery.detect_all(detector, pictures, out, score, interp),
        description="detecting",
        total=len(pictures),
        console=progress,
        disable=not progress.is_terminal,
    )
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


@main.group(cls=Align, add_help_option=False)
def align() -> None:
    """Prove that two PicoDets compute the same, or name the layer that doesn't."""


INPUT_OPTIONS = (
    click.option("--image", type=FILE, help="Picture to feed both with.  [default: one of ours]"),
    click.option("--input", "array", type=FILE, help="In its stead a .npy [1, 3, H, W], ready."),
    click.option("--float64", is_flag=True, help="Run both sides in double; ppdet only."),
    click.option("--paddle-python", type=FILE, help="Python with Paddle.  [default: this one]"),
    click.option("--json", "json_file", type=FILE, help="Write the outcome for machines."),
)


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that comparing and recording share."""
    for option in reversed(INPUT_OPTIONS):
        command = option(command)
    return command


@align.command(cls=Comparing)
@click.argument("reference", type=FILE)
@click.argument("model", type=FILE)
@click.option("--layerwise", is_flag=True, help="Show the layers, not one line for all of them.")
@click.option("--all", "unfold", is_flag=True, help="With --layerwise, unfold every block.")
@click.option("--tolerance", type=float, help="Part of each layer's scale, in place of the noise.")
@click.option("--html", type=FILE, help="Write a page with plots, to look at.")
@input_options
@click.pass_context
def compare(
    ctx: click.Context,
    reference: Path,
    model: Path,
    layerwise: bool,
    unfold: bool,
    tolerance: float | None,
    html: Path | None,
    image: Path | None,
    array: Path | None,
    float64: bool,
    paddle_python: Path | None,
    json_file: Path | None,
) -> None:
    """Hold MODEL, a .pth or .safetensors of ours, against REFERENCE, layer by layer.

    REFERENCE is a recording, a .pdparams (runs ppdet), a Paddle inference folder (runs
    paddlepaddle) or an .onnx. Exit code 0: aligned, 1: differs, 2: could not be compared.

    `picodet-align record REFERENCE OUT` records a reference, to compare with later or elsewhere.
    """
    from rich.console import Console

    from picodet.alignment import session
    from picodet.alignment.as_json import as_json
    from picodet.alignment.table import print_comparison

    if html:
        check_writable(html, overwrite=True)
        check_apart(html, [path for path in (reference, model, image, array) if path])
    fed = session.Fed(image, array, float64)
    with progress_bar("comparing") as progress:
        comparison = session.compare(reference, model, fed, tolerance, paddle_python, progress)
    print_comparison(comparison, layerwise or unfold, unfold, Console())
    if html:
        from picodet.alignment.page import page

        write_text(html, page(comparison))
    if json_file:
        write_json(json_file, as_json(comparison))
    differs = any(rung.verdict == "differs" for rung in comparison.rungs)
    ctx.exit(0 if comparison.aligned else 1 if differs else NotComparedError.exit_code)


@align.command(cls=Comparing)
@click.argument("reference", type=FILE)
@click.argument("out", type=FILE)
@click.option("--summary", is_flag=True, help="Statistics and samples only: small.")
@click.option("--input-size", type=Size(), help="Where REFERENCE does not tell it.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@input_options
def record(
    reference: Path,
    out: Path,
    summary: bool,
    input_size: tuple[int, int] | None,
    overwrite: bool,
    image: Path | None,
    array: Path | None,
    float64: bool,
    paddle_python: Path | None,
    json_file: Path | None,
) -> None:
    """Run REFERENCE once and write what every layer did to OUT, a .safetensors.

    Needs what REFERENCE needs (paddlepaddle, ppdet, onnxruntime) and no torch: it can be made on
    another machine.
    """
    from picodet.alignment import session

    fed = session.Fed(image, array, float64)
    with progress_bar("recording") as progress:
        report = session.record(
            reference, out, fed, summary, input_size, overwrite, paddle_python, progress
        )
    click.echo(f"{report['calls']} calls, {report['tensors']} tensors, {report['bytes']:,} bytes")
    click.echo(f"written {out}")
    if json_file:
        write_json(json_file, report)
