"""`picodet-export`: exports a model to ONNX."""

from pathlib import Path
from typing import Any

import click

from picodet.commands.common import Command, fetch_official, iou_option, resize_option, score_option
from picodet.commands.params import InputPath, ModelPath, OutputFile, Size
from picodet.commands.progress import progress_bar
from picodet.files import write_json
from picodet.system.extras import import_error_message


class NumberOr(click.ParamType):
    """A whole number, or one word such as "newest"."""

    name = "N"

    def __init__(self, word: str) -> None:
        self.word = word

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        if value == self.word:
            return self.word
        if not (str(value).isascii() and str(value).isdecimal() and len(str(value)) < 10):
            self.fail(f"{value!r}: a whole number or {self.word}", param, ctx)
        return int(value)


class SizeOrDynamic(Size):
    """An input size like `Size`, or "dynamic"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "dynamic" else super().convert(value, param, ctx)


@click.command(cls=Command)
@click.argument("model", type=ModelPath())
@click.argument("output", metavar="OUT.onnx", type=OutputFile())
@click.option(
    "--level",
    type=click.Choice(["heads", "boxes", "detections"]),
    default="detections",
    show_default=True,
    help="How far the file goes: raw scores and distributions, boxes, or NMS inside.",
)
@click.option(
    "--opset",
    type=NumberOr("newest"),
    metavar="N|newest",
    default=14,
    show_default=True,
    help="11 or newer; newest is the newest that onnxruntime runs.",
)
@click.option(
    "--batch", type=NumberOr("dynamic"), metavar="N|dynamic", default=1, show_default=True
)
@click.option(
    "--input-size",
    type=SizeOrDynamic(),
    metavar="SIZE|dynamic",
    help="416, 800x608 for height and width, or dynamic.  [default: the model's own]",
)
@click.option(
    "--single-input", is_flag=True, help="No scale_factor: boxes in the network's pixels."
)
@score_option(0.025)
@iou_option(0.6)
@resize_option
@click.option(
    "--image",
    "images",
    type=InputPath(),
    multiple=True,
    help="Image to verify with; can be given again.  [default: the bundled test image]",
)
@click.option("--no-verify", is_flag=True, help="Write the file without comparing it with torch.")
@click.option("--overwrite", is_flag=True, help="Replace OUT.onnx if it exists.")
@click.option("--json", "json_file", type=OutputFile(), help="Write the report as JSON.")
def export(
    model: Path,
    output: Path,
    level: Any,
    opset: Any,
    batch: Any,
    input_size: Any,
    single_input: bool,
    score_thr: float,
    iou_thr: float,
    resize: Any,
    images: tuple[Path, ...],
    no_verify: bool,
    overwrite: bool,
    json_file: Path | None,
) -> None:
    """Export MODEL to ONNX.

    MODEL is a .pth, .safetensors, .pdparams, .pdema, a training folder, a directory in
    Hugging Face's form, a Paddle inference folder, an .onnx, an official name (picodet list),
    or OWNER/NAME on Hugging Face's hub. The export is compared with torch on real images, and
    written only if both compute the same.
    """
    try:
        from picodet.exporter import ort
        from picodet.exporter.export import VerificationError
    except ImportError as error:
        raise click.ClickException(f"cannot export: {import_error_message(error)}") from error
    from rich.console import Console

    from picodet import api
    from picodet.commands.export_tables import print_report, print_verification

    try:
        with progress_bar("verifying") as progress:
            report = api.export(
                fetch_official(model),
                output,
                level=level,
                opset=ort.newest_opset() if opset == "newest" else opset,
                batch=batch,
                input_size=input_size,
                single_input=single_input,
                score_thr=score_thr,
                iou_thr=iou_thr,
                resize=resize,
                images=images,
                verify=not no_verify,
                overwrite=overwrite,
                progress=progress,
            )
    except VerificationError as error:
        print_verification(error.verification, Console(stderr=True))
        raise
    print_report(report, Console())
    if json_file:
        write_json(json_file, report.as_json())
