"""Compares the latency of picodet's exports, Paddle's ONNX file, OpenVINO and torch.

    python -m benchmarks.speed.latency picodet_s_416_coco.pth
    ../shared/weights/picodet_s_416_coco.onnx

All take turns in one run, a few images each, and medians are compared, so that other load on the
machine affects all alike. Only the network is timed, with the file's post-processing; the image
is preprocessed before. The exit code is 1 if picodet's export of heads is not MIN_RATIO times
as fast as Paddle's file.
"""

import argparse
import copy
import importlib.util
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from picodet.exporter.export import export
from picodet.exporter.options import EXPORT_LEVELS, ExportOptions
from picodet.exporter.verify_inputs import make_verify_inputs
from picodet.graphs.tracing import trace
from picodet.models.checkpoint import load
from picodet.models.picodet import PicoDet
from picodet.system.ort import onnxruntime
from picodet.system.versions import versions

MIN_RATIO = 1.9  # times as fast as Paddle's file, for picodet's export of heads
OURS, PADDLE = "ours, heads", "Paddle's own ONNX"
RUNS_PER_TURN = 5  # runs of one contender before the next has its turn
PAUSE = 0.01  # s, in which the previous contender's threads go to sleep

Feed = Mapping[str, np.ndarray]
Run = Callable[[], object]


def in_onnxruntime(file: Path, feed: Feed, threads: int) -> Run:
    """A run in onnxruntime with default options."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    inputs = {value.name: feed[value.name] for value in session.get_inputs() if value.name in feed}
    return lambda: session.run(None, inputs)


def in_openvino(file: Path, feed: Feed, threads: int) -> Run:
    """A run in OpenVINO in float32; its default is bfloat16 where the processor has it."""
    from picodet.inference.openvino_backend import openvino  # noqa: PLC0415 (an extra)

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(str(file), "CPU", settings)
    request = compiled.create_infer_request()
    inputs = {value.any_name: feed[value.any_name] for value in compiled.inputs}
    return lambda: request.infer(inputs)


def in_torch(
    model: Callable[[Tensor], object], images: np.ndarray, channels_last: bool = False
) -> Run:
    """A run in torch in inference mode."""
    image = torch.from_numpy(images)
    if channels_last:
        image = image.to(memory_format=torch.channels_last)

    def run() -> object:
        with torch.inference_mode():
            return model(image)

    return run


def fuse_batch_norms(model: PicoDet) -> PicoDet:
    """A copy with batch norms folded into convolutions."""
    found, operators = copy.deepcopy(model), trace(model.config).operators
    for conv, norm in pairwise(operators):
        if norm.kind == "batch_norm":
            first, second = (
                each.weights["weight"].removesuffix(".weight") for each in (conv, norm)
            )
            layer = cast(nn.Conv2d, model.get_submodule(first))
            fused = fuse_conv_bn_eval(layer, cast(nn.BatchNorm2d, model.get_submodule(second)))
            for path, new in ((first, fused), (second, nn.Identity())):
                parent, _, name = path.rpartition(".")
                setattr(found.get_submodule(parent), name, new)
    return found


def contenders(
    model: PicoDet, files: Mapping[str, Path], feed: Feed, threads: int, compiled: bool
) -> dict[str, Run]:
    """Runs by name, each of them warmed up."""
    torch.set_num_threads(threads)
    runs = {name: in_onnxruntime(file, feed, threads) for name, file in files.items()}
    if importlib.util.find_spec("openvino"):
        for name in (OURS, PADDLE):
            runs[f"{name}, in OpenVINO"] = in_openvino(files[name], feed, threads)
    channels_last_model = fuse_batch_norms(model)
    for parameter in channels_last_model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    runs["torch, as it is"] = in_torch(model, feed["image"])
    runs["torch, BN folded"] = in_torch(fuse_batch_norms(model), feed["image"])
    runs["torch, folded, channels-last"] = in_torch(
        channels_last_model, feed["image"], channels_last=True
    )
    if compiled:
        torch.compiler.reset()  # drops code that was compiled for another number of threads
        for name, module, channels_last in (
            ("torch, folded, compiled", fuse_batch_norms(model), False),
            ("torch, folded, channels-last, compiled", channels_last_model, True),
        ):
            compiled_model = torch.compile(module, options={"freezing": True})
            runs[name] = in_torch(compiled_model, feed["image"], channels_last)
    for run in runs.values():
        run()
    return runs


def medians(runs: Mapping[str, Run], rounds: int) -> dict[str, float]:
    """The median milliseconds of each run; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(PAUSE)
            run()
            for _ in range(RUNS_PER_TURN):
                start = time.perf_counter()
                run()
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(found) for name, found in times.items()}


def exports(model: Path, reference: Path, folder: Path) -> dict[str, Path]:
    """picodet's verified exports, written to `folder`, and Paddle's file, by name."""
    files = {}
    all_options = {f"ours, {level}": ExportOptions(level) for level in EXPORT_LEVELS}
    for name, options in {
        **all_options,
        "ours, heads, opset 11": ExportOptions("heads", 11),
    }.items():
        files[name] = folder / f"{name}.onnx"
        export(model, files[name], options)
    return {**files, PADDLE: reference}


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("reference", type=Path, help="Paddle's ONNX of the same model")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load(arguments.model)
    trial = next(iter(make_verify_inputs(model.config, ExportOptions(), ())))
    feed = {"image": trial.images, "scale_factor": trial.scale_factors}
    compiled = not arguments.no_compile and shutil.which("g++") is not None
    found = {}
    with TemporaryDirectory() as folder:
        files = exports(arguments.model, arguments.reference, Path(folder))
        for threads in arguments.threads:
            runs = contenders(model, files, feed, threads, compiled)
            found[threads] = medians(runs, arguments.rounds)
    used = versions("torch", "onnxruntime", "openvino")
    print(", ".join(f"{name} {number}" for name, number in used.items()))
    print_table(found)
    ratios = [times[PADDLE] / times[OURS] for times in found.values()]
    met = all(ratio >= MIN_RATIO for ratio in ratios)
    shown = " and ".join(f"{ratio:.2f}" for ratio in ratios)
    print(
        f"{OURS}: {shown} times as fast as Paddle's; {MIN_RATIO} "
        f"{'is met' if met else 'IS NOT MET'}"
    )
    if arguments.json:
        report = {"versions": used, "milliseconds": found, "bar": MIN_RATIO, "met": met}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if met else 1


def print_table(found: Mapping[int, Mapping[str, float]]) -> None:
    """Print a row per contender: milliseconds, and the ratio of Paddle's time to its own."""
    heads = "".join(f"{f'{n} thread' + 's' * (n > 1):>14}{'x':>7}" for n in found)
    print(f"{'batch 1, milliseconds':40}{heads}")
    for name in next(iter(found.values())):
        cells = "".join(
            f"{times[name]:14.1f}{times[PADDLE] / times[name]:7.2f}" for times in found.values()
        )
        print(f"{name:40}{cells}")


if __name__ == "__main__":
    sys.exit(main())
