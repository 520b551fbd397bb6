"""`picodet-detect`: detects objects in images and draws them."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from picodet.commands.common import (
    Command,
    add_inputs,
    add_outputs,
    fetch_official,
    network_options,
    score_option,
)
from picodet.commands.params import (
    PADDLEX_LAYOUT,
    FilePath,
    ModelPath,
    OutputFile,
    OutputFolder,
    layout_options,
)
from picodet.files import write_json

if TYPE_CHECKING:
    from picodet.inference.layout_options import LayoutOptions


@click.command(cls=Command)
@click.argument("model", type=ModelPath())
@click.argument("images", type=FilePath(str), metavar="IMAGE...", nargs=-1, required=True)
@click.option(
    "--out",
    type=OutputFolder(),
    default="detections",
    show_default=True,
    help="Folder for the images with boxes.",
)
@score_option("that of the model's settings, else 0.4")
@click.option(
    "--interp",
    type=click.IntRange(0, 4),
    help="Resize: 0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos.  [default: the model's own, 2]",
)
@click.option(
    "--postprocess",
    type=click.Choice(("ppdet-2.4", PADDLEX_LAYOUT)),
    default="ppdet-2.4",
    show_default=True,
    help="paddlex-layout: after it PaddleX's post-processing of layouts.",
)
@layout_options
@network_options
@click.option("--json", "json_file", type=OutputFile(), help="Write the detections as JSON.")
@click.pass_context
def detect(
    ctx: click.Context,
    model: Path,
    images: tuple[str, ...],
    out: Path,
    score_thr: float | None,
    interp: int | None,
    postprocess: str,
    layout: "LayoutOptions | None",
    backend: str,
    device: str,
    input_size: tuple[int, int] | None,
    resize: Any,
    paddle_python: Path | None,
    json_file: Path | None,
) -> None:
    """Detect objects in images with MODEL, draw them, and print a table.

    MODEL is an .onnx, a Paddle inference folder, weights (.pdparams, .pdema, the folder of a
    training, .pth, .safetensors, a directory in Hugging Face's form), an official name (picodet
    list), or OWNER/NAME on Hugging Face's hub. IMAGE is a file, a folder or a pattern. A corrupt
    image is reported and the others are still processed; the exit code is then 1.
    """
    from rich.console import Console
    from rich.progress import track

    from picodet.commands.detection_table import print_detections
    from picodet.data.image_files import copy_paths
    from picodet.inference.images import FailedImage, ImageDetections, collect_images, detect_all
    from picodet.inference.open_backend import RuntimeOptions, open_backend
    from picodet.ops.postprocess import Postprocessing

    image_paths, failures = collect_images(images)
    add_inputs(*image_paths)
    add_outputs(*copy_paths(image_paths, out))
    runtime = RuntimeOptions(backend, device, input_size, paddle_python)
    network = open_backend(fetch_official(model), runtime)
    for note in network.spec.notes:
        click.echo(f"Note: {note}", err=True)
    if score_thr is None and layout:
        score_thr = Postprocessing.score_threshold  # of the NMS; the layout has its own thresholds
    elif score_thr is None:
        score_thr = network.spec.nms.score_threshold if network.spec.nms else 0.4
    progress = Console(stderr=True)
    with closing(network):
        regions = layout.for_model(network.spec) if layout else None
        results: Iterable[ImageDetections | FailedImage] = detect_all(
            network, image_paths, out, score_thr, interp, resize, regions
        )
        if progress.is_terminal:  # elsewhere rich before 14.3 prints an empty line, disabled or not
            results = track(results, "detecting", len(image_paths), console=progress)
        outcomes = [*results, *failures]
    detected = [outcome for outcome in outcomes if isinstance(outcome, ImageDetections)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, FailedImage)]
    print_detections(detected)
    if json_file:
        write_json(json_file, [outcome.as_json() for outcome in outcomes])
    for outcome in failed:
        click.echo(f"Error: {outcome.error}", err=True)
    click.echo(f"{len(detected)} of {len(outcomes)} images drawn in {out}")
    if failed:
        ctx.exit(1)
