"""`picodet-align`: compare a model with a reference, or record a reference."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from picodet.commands.common import Command, fetch_official
from picodet.commands.params import FiniteFloat, InputPath, ModelPath, OutputFile, Size
from picodet.commands.progress import progress_bar
from picodet.files import write_json, write_text


class NotComparedError(click.ClickException):
    """The models could not be compared; exit code 1 means that they differ."""

    exit_code = 2


class CompareCommand(Command):
    """A command that ends with NotComparedError on failure."""

    failure = NotComparedError


class Align(click.Group):
    """`picodet-align REFERENCE MODEL`; `record` is the only subcommand to be written out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] not in (["record"], ["compare"]):
            args = ["compare", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Align, add_help_option=False)
def align() -> None:
    """Show that two PicoDets compute the same, or name the layer that does not."""


INPUT_OPTIONS = (
    click.option(
        "--image",
        type=InputPath(),
        help="Input image.  [default: the bundled test image]",
    ),
    click.option(
        "--input",
        "array",
        type=InputPath(),
        help="A .npy [1, 3, H, W] instead of --image; --training: an .npz.",
    ),
    click.option(
        "--float64", is_flag=True, help="Compute in float64; only if ppdet runs REFERENCE."
    ),
    click.option(
        "--paddle-python", type=InputPath(), help="Python that has Paddle.  [default: this one]"
    ),
    click.option("--json", "json_file", type=OutputFile(), help="Write the outcome as JSON."),
    click.option("--training", is_flag=True, help="The first training steps instead of inference."),
)


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that comparing and recording share."""
    for option in reversed(INPUT_OPTIONS):
        command = option(command)
    return command


@align.command(cls=CompareCommand)
@click.argument("reference", type=ModelPath())
@click.argument("model", type=ModelPath())
@click.option(
    "--layerwise", is_flag=True, help="Show a row for each block and details of guilty layers."
)
@click.option("--all", "unfold", is_flag=True, help="Like --layerwise, with a row for each layer.")
@click.option(
    "--tolerance",
    type=FiniteFloat(min=0, min_open=True),
    help="Allowed error as a part of each layer's scale, instead of by noise.",
)
@click.option(
    "--weight-set",
    metavar="SET",
    help="ema or raw, or student or teacher, if MODEL has both.  [default: ema, student]",
)
@click.option("--html", type=OutputFile(), help="Write a report page with plots.")
@input_options
@click.pass_context
def compare(
    ctx: click.Context,
    reference: Path,
    model: Path,
    layerwise: bool,
    unfold: bool,
    tolerance: float | None,
    weight_set: str | None,
    html: Path | None,
    image: Path | None,
    array: Path | None,
    float64: bool,
    paddle_python: Path | None,
    json_file: Path | None,
    training: bool,
) -> None:
    """Compare MODEL with REFERENCE, layer by layer.

    REFERENCE is a recording, a .pdparams or other weights (run by ppdet), a Paddle inference folder
    (run by paddlepaddle) or an .onnx (run by onnxruntime). MODEL is whatever picodet-convert reads
    or writes; an .onnx is run by onnxruntime. Both may be official names or OWNER/NAME on
    Hugging Face's hub, which are downloaded.

    With --training a few training steps of ppdet are compared with picodet's: REFERENCE is a
    recording of them (.npz), or a .pdparams. --input is then an .npz of images, boxes, classes and
    valid.

    Exit code 0: aligned, 1: differs, 2: could not be compared.

    `picodet-align record REFERENCE OUT` records a reference, to compare with later or elsewhere.
    """
    from rich.console import Console

    from picodet import api
    from picodet.alignment.report.json_report import to_json
    from picodet.commands.alignment_tables import print_comparison

    reference, model = fetch_official(reference), fetch_official(model)
    with progress_bar("comparing") as progress:
        if training:
            from picodet.alignment.training import session as training_session

            training_inputs = training_session.training_input_options(image, array, float64)
            comparison = training_session.compare(
                *(reference, model, training_inputs, tolerance, paddle_python, progress, weight_set)
            )
        else:
            comparison = api.align(
                reference,
                model,
                image=image,
                array=array,
                float64=float64,
                tolerance=tolerance,
                weight_set=weight_set,
                paddle_python=paddle_python,
                progress=progress,
            )
    print_comparison(comparison, layerwise or unfold, unfold, Console())
    if html:
        from picodet.alignment.report.html import html_report

        write_text(html, html_report(comparison))
    if json_file:
        write_json(json_file, to_json(comparison))
    differs = any(stage.verdict == "differs" for stage in comparison.stages)
    ctx.exit(0 if comparison.aligned else 1 if differs else NotComparedError.exit_code)


@align.command(cls=CompareCommand)
@click.argument("reference", type=ModelPath())
@click.argument("out", type=OutputFile())
@click.option("--summary", is_flag=True, help="Record statistics and samples only: a small file.")
@click.option("--input-size", type=Size(), help="Needed where REFERENCE does not state it.")
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
    training: bool,
) -> None:
    """Run REFERENCE once and write the outputs of all layers to OUT, a .safetensors.

    With --training: train it for a few steps and write losses, gradients and weights to OUT, an
    .npz.

    Needs what runs REFERENCE (paddlepaddle, ppdet or onnxruntime) but no torch, so that another
    machine can make it.
    """
    reference = fetch_official(reference)
    report: dict[str, Any]
    with progress_bar("recording") as progress:
        if training:
            from picodet.alignment.training import session as training_session

            training_inputs = training_session.training_input_options(image, array, float64)
            report = training_session.record(
                *(reference, out, training_inputs, summary, input_size, overwrite, paddle_python),
                progress,
            )
        else:
            from picodet.alignment import session

            inputs = session.InputOptions(image, array, float64)
            report = session.record(
                reference, out, inputs, summary, input_size, overwrite, paddle_python, progress
            )
    what = f"{len(report['runs'])} runs" if training else f"{report['calls']} calls"
    click.echo(f"{what}, {report['tensors']} tensors, {report['bytes']:,} bytes")
    click.echo(f"written {out}")
    if json_file:
        write_json(json_file, report)
