"""`picodet-convert`: converts a PicoDet from any form to a file in another."""

from pathlib import Path

import click

from picodet.commands.common import Command, fetch_official, is_interactive
from picodet.commands.params import InputPath, ModelPath, OutputFile, OutputModel, Size
from picodet.files import write_json


@click.command(cls=Command)
@click.argument("source", type=ModelPath())
@click.argument("output", type=OutputModel())
@click.option("--config", metavar="NAME", help="Official name, such as picodet_s_416_coco.")
@click.option("--input-size", type=Size(), help="416, or 800x608 for height and width.")
@click.option("--classes", type=InputPath(), help="Class names, one per line.")
@click.option(
    "--to",
    "form",
    type=click.Choice(("picodet", "ppdet", "mmdet", "huggingface")),
    help="Naming scheme of OUTPUT.  [default: by its suffix]",
)
@click.option(
    "--weight-set",
    "weight_set",
    metavar="SET",
    help="ema or raw, or student or teacher, if SOURCE has both.  [default: ema, student]",
)
@click.option("--allow-nonfinite", is_flag=True, help="Convert weights that are NaN or Inf.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@click.option("--json", "json_file", type=OutputFile(), help="Write the report as JSON.")
def convert(
    source: Path,
    output: Path,
    config: str | None,
    input_size: tuple[int, int] | None,
    classes: Path | None,
    form: str | None,
    weight_set: str | None,
    allow_nonfinite: bool,
    overwrite: bool,
    json_file: Path | None,
) -> None:
    """Convert SOURCE, a PicoDet in any form, to OUTPUT.

    SOURCE is a .pdparams or .pdema of PaddleDetection, a training folder, a Paddle inference
    folder, an .onnx, a .pth or .safetensors (of picodet, of the mmdet port, or a state_dict), a
    directory in Hugging Face's form, or a tar of an inference folder; or an official name (picodet
    list), OWNER/NAME on Hugging Face's hub or a URL, which are fetched. OUTPUT is a .pth or
    .safetensors, a .pdparams for PaddleDetection, or a directory in Hugging Face's form.

    Paddle is not needed, and nothing in SOURCE is executed. What the tensors do not contain, the
    input size and the class names, is taken from the options or from the name of SOURCE.
    """
    from dataclasses import asdict
    from typing import cast

    from picodet import api
    from picodet.converter.converted_model import IncompleteError
    from picodet.converter.writers import OutputFormat
    from picodet.zoo.class_names import read_class_names

    source = fetch_official(source)
    names = read_class_names(classes) if classes else None
    try:
        report = api.convert(
            source,
            output,
            config=config,
            input_size=input_size,
            classes=names,
            weight_set=weight_set,
            output_format=cast(OutputFormat | None, form),
            overwrite=overwrite,
            allow_nonfinite=allow_nonfinite,
            ask_for_size=_ask_for_size if is_interactive() else None,
        )
    except IncompleteError as error:
        from picodet.commands.conversion_tables import print_problems

        print_problems(error.problems)
        raise
    from picodet.commands.conversion_tables import print_report  # after the weights are freed

    print_report(report)
    if json_file:
        write_json(json_file, asdict(report))


def _ask_for_size(sizes: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """Ask for the input size: official models of several sizes have these tensors."""
    texts = ["x".join(map(str, dict.fromkeys(size))) for size in sizes]
    default = "416" if "416" in texts else texts[0] if texts else "416"
    question = f"Input size (official models with these tensors have {', '.join(texts)})"
    answer: tuple[int, int] = click.prompt(question, default=default, type=Size(), err=True)
    return answer
