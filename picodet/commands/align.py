"""`picodet-align`: hold a model against a reference, or record one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from picodet.commands.common import Command, fetch_official, progress_bar
from picodet.commands.params import FiniteFloat, InputPath, ModelPath, OutputFile, Size
from picodet.files import write_json, write_text


class NotComparedError(click.ClickException):
    """1 says that two models differ; this is neither that nor its contrary."""

    exit_code = 2


class CompareCommand(Command):
    """A command that compares."""

    failure = NotComparedError


class Align(click.Group):
    """`picodet-align REFERENCE MODEL`, with `record` as the one word that is no reference."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] not in (["record"], ["compare"]):
            args = ["compare", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Align, add_help_option=False)
def align() -> None:
    """Prove that two PicoDets compute the same, or name the layer that doesn't."""


INPUT_OPTIONS = (
    click.option(
        "--image", type=InputPath(), help="Picture to feed both with.  [default: one of ours]"
    ),
    click.option(
        "--input", "array", type=InputPath(), help="A .npy [1, 3, H, W]; --training: an .npz."
    ),
    click.option("--float64", is_flag=True, help="Run both sides in double; ppdet only."),
    click.option(
        "--paddle-python", type=InputPath(), help="Python with Paddle.  [default: this one]"
    ),
    click.option("--json", "json_file", type=OutputFile(), help="Write the outcome for machines."),
    click.option("--training", is_flag=True, help="The first steps of a training, not a picture."),
)


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that comparing and recording share."""
    for option in reversed(INPUT_OPTIONS):
        command = option(command)
    return command


@align.command(cls=CompareCommand)
@click.argument("reference", type=ModelPath())
@click.argument("model", type=ModelPath())
@click.option("--layerwise", is_flag=True, help="Show the layers, not one line for all of them.")
@click.option("--all", "unfold", is_flag=True, help="With --layerwise, unfold every block.")
@click.option(
    "--tolerance",
    type=FiniteFloat(min=0, min_open=True),
    help="Part of each layer's scale, in place of the noise.",
)
@click.option("--weights", metavar="SET", help="ema or raw, where MODEL has both.  [default: ema]")
@click.option("--html", type=OutputFile(), help="Write a page with plots, to look at.")
@input_options
@click.pass_context
def compare(
    ctx: click.Context,
    reference: Path,
    model: Path,
    layerwise: bool,
    unfold: bool,
    tolerance: float | None,
    weights: str | None,
    html: Path | None,
    image: Path | None,
    array: Path | None,
    float64: bool,
    paddle_python: Path | None,
    json_file: Path | None,
    training: bool,
) -> None:
    """Hold MODEL against REFERENCE, layer by layer.

    REFERENCE is a recording, a .pdparams or other weights (run by ppdet), a Paddle inference folder
    (run by paddlepaddle) or an .onnx. MODEL is whatever picodet-convert takes or makes; of an .onnx
    what onnxruntime computes is compared. Both may be official names, which are fetched.

    With --training a few steps of ppdet's training are compared with ours: REFERENCE is a recording
    of them (.npz), or a .pdparams. --input is then an .npz of images, boxes, classes and valid.

    Exit code 0: aligned, 1: differs, 2: could not be compared.

    `picodet-align record REFERENCE OUT` records a reference, to compare with later or elsewhere.
    """
    from rich.console import Console

    from picodet.alignment.report.json_report import to_json
    from picodet.alignment.report.terminal import print_comparison

    reference, model = fetch_official(reference), fetch_official(model)
    with progress_bar("comparing") as progress:
        if training:
            from picodet.alignment.training import session as training_session

            trained_on = training_session.training_input_options(image, array, float64)
            comparison = training_session.compare(
                *(reference, model, trained_on, tolerance, paddle_python, progress, weights)
            )
        else:
            from picodet.alignment import session

            inputs = session.InputOptions(image, array, float64)
            comparison = session.compare(
                *(reference, model, inputs, tolerance, paddle_python, progress, weights)
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
    training: bool,
) -> None:
    """Run REFERENCE once and write what every layer did to OUT, a .safetensors.

    With --training: train it for a few steps, and write what they did to OUT, an .npz.

    Needs what REFERENCE needs (paddlepaddle, ppdet, onnxruntime) and no torch: it can be made on
    another machine.
    """
    reference = fetch_official(reference)
    report: dict[str, Any]
    with progress_bar("recording") as progress:
        if training:
            from picodet.alignment.training import session as training_session

            trained_on = training_session.training_input_options(image, array, float64)
            report = training_session.record(
                *(reference, out, trained_on, summary, input_size, overwrite, paddle_python),
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
