"""`picodet-eval`: COCO's metrics of a model or predictions file; compares two files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from picodet.commands.common import (
    Command,
    add_inputs,
    add_outputs,
    fetch_official,
    iou_option,
    network_options,
    score_option,
)
from picodet.commands.params import (
    PADDLEX_LAYOUT,
    CocoFolder,
    DatasetPath,
    FiniteFloat,
    ImageFolder,
    InputPath,
    ModelPath,
    OutputFile,
    layout_options,
)

if TYPE_CHECKING:
    from picodet.data.coco import AnnotationSource
    from picodet.evaluation.schema import Report
    from picodet.inference.layout_options import LayoutOptions


class EvaluateCommand(Command):
    """A long command with its own message for an early interrupt."""

    interrupted = "interrupted; nothing was done yet that could be resumed"


@click.command(cls=EvaluateCommand)
@click.argument("model", type=ModelPath(), required=False)
@click.option(
    "--coco", type=CocoFolder(), help="Folder with val2017 and annotations, as COCO has it."
)
@click.option(
    "--data",
    type=DatasetPath(),
    help="Instead of --coco: a dataset in the form of COCO, Pascal VOC or YOLO, as recognized.",
)
@click.option("--images", type=ImageFolder(), help="Instead of --coco: folder of the images ..")
@click.option("--annotations", type=InputPath(), help="  .. and their annotation file.")
@click.option(
    "--interp",
    "interps",
    type=click.IntRange(0, 4),
    multiple=True,
    help="Resize: 0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos; again for several.  "
    "[default: the model's own, 2]",
)
@click.option(
    "--what-if",
    "what_if",
    is_flag=True,
    help="Ablation: AP under each of the usual mistakes of preprocessing.",
)
@click.option(
    "--postprocess",
    type=click.Choice(("ppdet-2.3", "ppdet-2.4", PADDLEX_LAYOUT)),
    default="ppdet-2.4",
    show_default=True,
    help="2.3: best 1,000 anchor points per level, boxes clipped. 2.4: all, unclipped. "
    "paddlex-layout: PaddleX's for layouts, after that of 2.4.",
)
@layout_options
@score_option("that of the model's settings, else 0.025")
@iou_option("that of the model's settings, else 0.6")
@click.option(
    "--match-classes",
    type=click.Choice(("name", "order")),
    default="name",
    show_default=True,
    help="How the model's classes are matched with the dataset's categories.",
)
@click.option(
    "--evaluator",
    type=click.Choice(("hotcoco", "pycocotools")),
    default="hotcoco",
    show_default=True,
    help="Both give the same bits; the first is faster.",
)
@click.option("--predictions", type=InputPath(), help="Evaluate a predictions file; no MODEL.")
@click.option(
    "--compare",
    type=InputPath(),
    nargs=2,
    metavar="A B",
    help="Compare two predictions files, box by box; no MODEL.",
)
@network_options
@click.option(
    "--float64",
    is_flag=True,
    help="Compute in float64, where rounding decides no near ties; torch only.",
)
@click.option("--batch", type=click.IntRange(1), help="Batch size.  [default: 1; 16 on GPU]")
@click.option("--threads", type=click.IntRange(1), help="[default: one per core]")
@click.option(
    "--skip-corrupt", is_flag=True, help="Skip corrupt images; the AP is then not COCO's."
)
@click.option(
    "--resume", type=InputPath(), help="Continue an interrupted run from its progress file."
)
@click.option(
    "--out", type=OutputFile(), help="Write the detections as a predictions file in COCO's format."
)
@click.option("--html", type=OutputFile(), help="Write a page with plots and the worst images.")
@click.option(
    "--per-class",
    "--classwise",
    "per_class",
    is_flag=True,
    help="AP, AR and counts of every class, best first.",
)
@click.option(
    "--expect-ap",
    type=FiniteFloat(0, 100),
    metavar="PERCENT",
    help="Exit code 1 unless the AP is this ..",
)
@click.option(
    "--within", type=FiniteFloat(0), default=0.05, show_default=True, help="  .. within this."
)
@click.option("--json", "json_file", type=OutputFile(), help="Write the report as JSON.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    model: Path | None,
    coco: Path | None,
    data: Path | None,
    images: Path | None,
    annotations: Path | None,
    interps: tuple[int, ...],
    what_if: bool,
    postprocess: Any,
    layout: "LayoutOptions | None",
    score_thr: float | None,
    iou_thr: float | None,
    match_classes: Any,
    evaluator: str,
    predictions: Path | None,
    compare: tuple[Path, Path] | None,
    backend: str,
    device: str,
    input_size: tuple[int, int] | None,
    resize: Any,
    paddle_python: Path | None,
    float64: bool,
    batch: int | None,
    threads: int | None,
    skip_corrupt: bool,
    resume: Path | None,
    out: Path | None,
    html: Path | None,
    per_class: bool,
    expect_ap: float | None,
    within: float,
    json_file: Path | None,
) -> None:
    """Evaluate MODEL on a dataset in COCO's format, or in Pascal VOC's or YOLO's.

    MODEL is an .onnx (of picodet or of Paddle, with heads, boxes or NMS), a Paddle inference
    folder, weights (.pdparams, .pdema, a training folder, .pth, .safetensors, a directory in
    Hugging Face's form), an official name (picodet list), or OWNER/NAME on Hugging Face's hub.
    `torchrun --nproc_per_node N -m picodet eval ..` shares the work.

    Exit code 0: done, 1: refused, or not the AP that was expected, 130: interrupted, 143: ended by
    `kill`.
    """
    from picodet.commands.evaluation_outputs import Outputs
    from picodet.data.coco import annotations_path
    from picodet.distributed import local_device
    from picodet.evaluation import evaluator as session
    from picodet.inference.open_backend import RuntimeOptions
    from picodet.ops.postprocess import PostprocessingOptions

    if what_if and len(interps) > 1:
        raise click.UsageError("--what-if tries every interp by itself; give one --interp, or none")
    if sum(given is not None for given in (model, predictions, compare)) != 1:
        raise click.UsageError("one of MODEL, --predictions and --compare is expected")
    if layout and not model:
        raise click.UsageError(f"--postprocess {PADDLEX_LAYOUT} is for a MODEL; found a file")
    images, source = _dataset(coco, data, images, annotations, needed=model is not None)
    model = fetch_official(model) if model else None
    outputs = Outputs(out, html, json_file, per_class)
    interps = tuple(dict.fromkeys(interps))
    progress_file = resume or session.progress_path(out)
    add_inputs(annotations_path(source))
    add_outputs(*outputs.files(interps), *([] if resume or not model else [progress_file]))
    if compare:
        outputs.compare_files(*compare, source)
        return
    if predictions:
        reports = outputs.evaluate_file(predictions, images, source, evaluator)
    else:
        request = session.EvalRequest(
            model=model or Path(),
            images=images or Path(),
            annotations=source,
            runtime_options=RuntimeOptions(
                backend, local_device(device), input_size, paddle_python, threads=1, float64=float64
            ),
            interps=interps,
            kernels=resize,
            postprocessing=PostprocessingOptions(
                score_thr, iou_thr, "ppdet-2.4" if layout else postprocess
            ),
            layout=layout,
            what_if=what_if,
            match_classes=match_classes,
            skip_corrupt=skip_corrupt,
            batch=batch or (1 if device == "cpu" else 16),
            threads=threads or session.default_threads(),
            progress_path=progress_file,
            resume=resume,
        )
        reports = outputs.evaluate_model(request, evaluator)
    if reports and expect_ap is not None:
        ctx.exit(_check_expected_ap(reports, expect_ap, within))


def _dataset(
    coco: Path | None,
    data: Path | None,
    images: Path | None,
    annotations: Path | None,
    needed: bool,
) -> tuple[Path | None, "AnnotationSource"]:
    """(image folder, annotations); no image folder if neither needed nor given."""
    from picodet.commands.data.inputs import evaluation_data
    from picodet.data.coco import find_coco

    if coco and not (data or images or annotations):
        return find_coco(coco)
    if data and not (coco or images or annotations):
        return evaluation_data(data)
    if annotations and not (coco or data) and (images or not needed):
        return images, annotations
    raise click.UsageError(
        "--coco DIR, --data PATH, or --images DIR and --annotations FILE are expected"
    )


def _check_expected_ap(reports: list["Report"], expected: float, within: float) -> int:
    """Print whether all APs, in percent, are as expected; exit code 1 if one is not."""
    worst = max(abs(100 * report.stats[0] - expected) for report in reports)
    passed = worst <= within
    click.echo(
        f"AP {'as expected' if passed else 'NOT as expected'}: {expected:g} within {within:g}, "
        f"off by {worst:.3g}"
    )
    return 0 if passed else 1
