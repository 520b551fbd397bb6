"""The public functions, which `picodet` names: what each command does, for Python.

Sources and models are paths of files in any form that the commands take, or official names
(`picodet list`) and names of Hugging Face's hub (`owner/name`), which are fetched once. Nothing is
printed. Only `train` handles signals, in the
main thread and until it ends. Errors that a user can fix are `picodet.errors.PicoDetError`.
Everything heavy is imported inside.
"""

import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from picodet.config import ResizeKernels

if TYPE_CHECKING:
    from picodet.alignment.result import Comparison
    from picodet.converter.convert import ConversionReport
    from picodet.converter.writers import OutputFormat
    from picodet.data.coco import Annotations, AnnotationSource
    from picodet.evaluation.schema import Report
    from picodet.exporter.export import ExportReport
    from picodet.exporter.options import ExportLevel
    from picodet.inference.layout_options import LayoutOptions
    from picodet.models.picodet import PicoDet
    from picodet.ops.postprocess import Semantics
    from picodet.training.callbacks import TrainCallbacks
    from picodet.training.pretrained import HeadInit
    from picodet.training.trainer import TrainResult

ProgressCallback = Callable[[int, int], None]  # done, total
AnyPath = str | PathLike[str]
Size = tuple[int, int]  # height, width in pixels, multiples of 32
URL = re.compile(r"(?P<scheme>https?):/+(?P<rest>[^/].*)", re.IGNORECASE)


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


def official_url(source: AnyPath) -> str | None:
    """The URL of the weights if source is an official name or a URL; None for a path of a file.

    Raises PicoDetError for a name without published weights.
    """
    path = Path(source)
    if (url := URL.match(path.as_posix())) and not path.exists():
        return f"{url['scheme'].lower()}://{url['rest']}"  # a Path has only one of the slashes
    if len(path.parts) != 1 or path.exists():
        return None
    from picodet.zoo.official import BY_NAME, published_url

    return None if path.suffix and path.name not in BY_NAME else published_url(path.name)


def local_file(source: AnyPath, progress: ProgressCallback = no_progress) -> Path:
    """The file behind an official name, a URL or a name of the hub, fetched once; a path as it is.

    A tar archive is unpacked into the cache, and its folder returned. Raises FetchError where it
    cannot be fetched, PicoDetError for a name without published weights, CheckpointError for an
    archive with anything but plain files inside a folder.
    """
    from picodet.download.hub import fetch_model, hub_name

    if name := hub_name(source):
        return fetch_model(name, progress)
    path, url = Path(source), official_url(source)
    if url is not None:
        from picodet.download.fetch import fetch

        path = fetch(url, progress).path
    if path.suffix.lower() != ".tar":
        return path
    from picodet.download.tar_reader import is_tar
    from picodet.download.unpack import unpack

    return unpack(path) if is_tar(path) else path


def load(source: AnyPath, input_size: Size | None = None) -> "PicoDet":
    """A detector of any form as a torch.nn.Module, in eval mode, on the CPU, in float32.

    source is a path, an official name, or `owner/name` on Hugging Face's hub; what exists as a path
    is one. input_size is needed where neither the file nor its name states it. `model(images)`
    takes preprocessed images [B, 3, H, W] and returns the raw outputs of each level; `model.config`
    has the class names, the input size and the preprocessing. Raises CheckpointError,
    ConversionError or GraphError for a file that holds no detector, FetchError where it cannot be
    fetched.
    """
    from picodet.converter.detector import open_detector

    return open_detector(local_file(source), input_size).model


def convert(
    source: AnyPath,
    output: AnyPath,
    *,
    config: str | None = None,
    input_size: Size | None = None,
    classes: Sequence[str] | None = None,
    weight_set: str | None = None,
    output_format: "OutputFormat | None" = None,
    overwrite: bool = False,
    allow_nonfinite: bool = False,
    ask_for_size: Callable[[tuple[Size, ...]], Size] | None = None,
) -> "ConversionReport":
    """Convert `source` into `output`, whole or not at all, as `picodet-convert` does.

    config is an official name, classes the class names; None of these three is left to the tensors
    and the file's name. weight_set is "ema" or "raw" where the source has both; output_format is
    "picodet", "ppdet", "mmdet" or "huggingface", and None follows the suffix of `output`.
    ask_for_size is called with the likely sizes if nothing states the input size; None raises
    ConversionError then. Writes only `output`. Raises IncompleteError, which lists
    every unmatched tensor, and ConversionError, CheckpointError or OutputError.
    """
    from picodet.converter.configure import ConvertOptions
    from picodet.converter.convert import convert_file

    options = ConvertOptions(
        config, input_size, None if classes is None else tuple(classes), ask_for_size
    )
    return convert_file(
        local_file(source),
        Path(output),
        options,
        weight_set,
        output_format,
        overwrite,
        allow_nonfinite,
    )


def align(
    reference: AnyPath,
    model: AnyPath,
    *,
    image: AnyPath | None = None,
    array: AnyPath | None = None,
    float64: bool = False,
    tolerance: float | None = None,
    weight_set: str | None = None,
    paddle_python: AnyPath | None = None,
    progress: ProgressCallback = no_progress,
) -> "Comparison":
    """Compare a model with a reference, layer by layer, as `picodet-align` does.

    reference is a recording, weights that ppdet runs, a Paddle inference folder or an ONNX file;
    image or array (a .npy of [1, 3, H, W]) is the input of both sides, by default the bundled test
    image. float64 runs both sides in double precision (ppdet only). tolerance is relative to
    each layer's scale; None measures the noise instead. paddle_python is a Python with Paddle.
    `result.aligned` is the verdict, `result.stages` has each stage's. Sets the number of torch's
    threads while it runs and restores it; do not run it in several threads at once. Raises
    AlignmentError or RecordingError where the two cannot be compared.
    """
    from picodet.alignment.session import InputOptions, compare

    return compare(
        local_file(reference),
        local_file(model),
        InputOptions(_path(image), _path(array), float64),
        tolerance,
        _path(paddle_python),
        progress,
        weight_set,
    )


def evaluate(
    model: AnyPath,
    images: AnyPath,
    annotations: "AnyPath | Annotations",
    *,
    interp: int | None = None,
    score_thr: float | None = None,
    iou_thr: float | None = None,
    postprocess: "Semantics" = "ppdet-2.4",
    layout: "LayoutOptions | None" = None,
    match_classes: Literal["name", "order"] = "name",
    evaluator: Literal["hotcoco", "pycocotools"] = "hotcoco",
    backend: Literal["onnxruntime", "openvino"] = "onnxruntime",
    device: str = "cpu",
    input_size: Size | None = None,
    resize: ResizeKernels | None = None,
    paddle_python: AnyPath | None = None,
    float64: bool = False,
    batch: int = 1,
    threads: int | None = None,
    skip_corrupt: bool = False,
    out: AnyPath | None = None,
    progress: ProgressCallback = no_progress,
) -> "Report":
    """COCO's numbers of a model on a dataset, as `picodet-eval` does.

    images is the folder, annotations the file in COCO's format, or the annotations of any form that
    `picodet.data.forms.dataset.read_split` has read. interp is OpenCV's number of the
    resize (0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos); None is the model's own. score_thr and
    iou_thr None are those of a Paddle folder's settings, else ppdet's 0.025 and 0.6. layout adds
    PaddleX's post-processing of layouts, `LayoutOptions()` for its defaults; score_thr None is then
    0.025.
    `result.stats` has the twelve numbers, AP first, as fractions; `result.classes` each class.
    out is a file for the detections, in COCO's format of predictions; beside it their settings are
    written. Reads the images in `threads` threads (None: one per core), torch computing in one of
    its own until the end; on a GPU it sets cuDNN's flags. Raises
    EvaluationError where model and dataset do not fit, ImageError for images that cannot be read.
    """
    from picodet.distributed import SingleProcess
    from picodet.evaluation.detections import write_predictions
    from picodet.evaluation.evaluator import EvalRequest, default_threads, detect_dataset
    from picodet.evaluation.provenance import write_provenance
    from picodet.evaluation.report.build import build_report, describe_runs
    from picodet.inference.open_backend import RuntimeOptions
    from picodet.ops.postprocess import PostprocessingOptions

    with tempfile.TemporaryDirectory() as folder:
        request = EvalRequest(
            model=local_file(model),
            images=Path(images),
            annotations=_source(annotations),
            runtime_options=RuntimeOptions(
                backend, device, input_size, _path(paddle_python), threads=1, float64=float64
            ),
            interps=() if interp is None else (interp,),
            kernels=resize,
            postprocessing=PostprocessingOptions(score_thr, iou_thr, postprocess),
            layout=layout,
            match_classes=match_classes,
            skip_corrupt=skip_corrupt,
            batch=batch,
            threads=threads or default_threads(),
            progress_path=Path(folder, "progress.npz"),
        )
        output = detect_dataset(request, SingleProcess(), no_progress, progress)
    (run,), context = describe_runs(request, output, commands=())
    report = build_report(run, context, evaluator)
    if out is not None:
        write_predictions(Path(out), run.predictions)
        write_provenance(Path(out), report)
    return report


def export(
    model: AnyPath,
    output: AnyPath,
    *,
    level: "ExportLevel" = "detections",
    opset: int = 14,
    batch: int | Literal["dynamic"] = 1,
    input_size: Size | Literal["dynamic"] | None = None,
    single_input: bool = False,
    score_thr: float = 0.025,
    iou_thr: float = 0.6,
    resize: ResizeKernels | None = None,
    images: Sequence[AnyPath] = (),
    verify: bool = True,
    overwrite: bool = False,
    progress: ProgressCallback = no_progress,
) -> "ExportReport":
    """Write a model as ONNX, verified against torch first, as `picodet-export` does.

    level is how far the file goes: "heads", "boxes" or "detections" (NMS inside). It is verified
    with images, by default the bundled test image. Writes only `output`, and only if the file
    computes what torch does. Needs the extra `onnx`. Raises VerificationError if it does not,
    CheckpointError for a file that holds no detector, PicoDetError for contradictory options.
    """
    from picodet.exporter.export import export as write_onnx
    from picodet.exporter.options import ExportOptions

    options = ExportOptions(
        level, opset, batch, input_size, single_input, score_thr, iou_thr, resize
    )
    paths = [Path(image) for image in images]
    return write_onnx(local_file(model), Path(output), options, paths, overwrite, verify, progress)


def train(
    recipe: AnyPath,
    images: AnyPath,
    annotations: "AnyPath | Annotations",
    *,
    val_images: AnyPath | None = None,
    val_annotations: "AnyPath | Annotations | None" = None,
    pretrained: AnyPath | None = None,
    classes: Sequence[str] | None = None,
    head: "HeadInit" = "reuse",
    out: AnyPath = "training",
    resume: bool = False,
    batch: int | None = None,
    accumulation_steps: int = 1,
    lr: float | None = None,
    resize: ResizeKernels | None = None,
    seed: int = 0,
    device: str = "cpu",
    amp: bool = False,
    workers: int = 2,
    evaluate_every: int | None = None,
    patience: int | None = None,
    save_steps: int = 500,
    keep_checkpoints: int = 3,
    callbacks: "TrainCallbacks | None" = None,
) -> "TrainResult":
    """Train a detector, as `picodet-train` does; in every process that torchrun has started.

    recipe is an official name or a YAML file that changes one; images and annotations are a dataset
    in COCO's format, or annotations of any form, as `evaluate` takes them. batch is the number of
    images at a time (None: the recipe's); without `lr` the base learning rate follows it in
    proportion. pretrained are weights to start from, in any form;
    None initializes as ppdet does. Without images to evaluate on, or with evaluate_every 0, nothing
    is evaluated; patience ends it after so many evaluations without a better AP. resume continues
    from the newest checkpoint in `out`, which needs no `pretrained`; what may change is noted, and
    all else refused. Writes last_ema.pth, best_ema.pth, checkpoints and logs into `out`. Starts
    `workers` processes that read images; seeds no global generator but torch's, and sets cudnn's
    flags if device is a GPU. Ctrl-C ends it after the current step, with a checkpoint. callbacks
    show how far it is. Raises TrainingError.
    """
    from picodet import distributed
    from picodet.evaluation.validation import Validation
    from picodet.inference.torch_backend import check_device
    from picodet.training import build
    from picodet.training.callbacks import TrainCallbacks
    from picodet.training.options import TrainOptions
    from picodet.training.recipes.yaml_file import resolve

    callbacks = callbacks or TrainCallbacks()
    device = distributed.local_device(device)
    check_device(device)
    wanted = build.with_classes(
        resolve(str(recipe)).recipe, None if classes is None else tuple(classes)
    )
    wanted = build.with_resize(wanted, resize)
    with ExitStack() as stack:
        group = stack.enter_context(distributed.process_group(device))
        used, note = build.with_lr(
            wanted, batch or wanted.batches.per_gpu, accumulation_steps * group.size, lr
        )
        options = TrainOptions(
            recipe=used,
            out=Path(out),
            batch_size=used.batches.per_gpu,
            accumulation_steps=accumulation_steps,
            seed=seed,
            device=device,
            amp=amp,
            workers=workers,
            keep_checkpoints=keep_checkpoints,
            save_steps=save_steps,
            evaluate_every=used.snapshot_epochs if evaluate_every is None else evaluate_every,
            patience=patience,
        )
        val = validation = None
        if val_images is not None and val_annotations is not None and options.evaluate_every:
            val = build.DatasetPaths(Path(val_images), _source(val_annotations))
            validation = partial(
                Validation,
                images=val.images,
                annotations=val.annotations,
                ranks=group,
                device=device,
                progress=callbacks.evaluating,
            )
        prepared = build.prepare(
            options,
            build.DatasetPaths(Path(images), _source(annotations)),
            val,
            build.InitWeights(local_file(pretrained) if pretrained and not resume else None, head),
            group,
            resume,
            validation,
            callbacks.step,
            callbacks.checking_images,
        )
        if prepared.lock:
            stack.callback(prepared.lock.release)
        for line in (note, *prepared.notes):
            callbacks.note(line)
        return prepared.trainer.run()


def _source(annotations: "AnyPath | Annotations") -> "AnnotationSource":
    from picodet.data.coco import Annotations

    return annotations if isinstance(annotations, Annotations) else Path(annotations)


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)
