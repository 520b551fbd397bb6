"""Compares right models on images of all kinds: how close their layers come to a false alarm.

    python -m benchmarks.fault_injection.any_image [--images 200] [--threads 1 2] [--only WORD ..]
                                    [--together 20] [--minutes M]

The images are of one color, tiny, stretched from a row or column, gradients, noise and real ones.
Every architecture, with seeded weights (scripts/fixtures/seeded.py) and an input of 64x96, is
compared with its own export, with folded batch norms and run by onnxruntime: layer by layer, each
alone and with all layers before it. Runs and comparison are those of picodet-align, but --together
images share a run, and each is compared by itself. That is faster, takes up to 8 GB of memory, and
sometimes other kernels than one image: --together 1 computes what picodet-align computes. The
thread counts alternate from one group of images to the next, so each architecture compares each
image once; to compare all with both counts, run it with --threads 1 and with --threads 2. Prints
after every group the highest ratio of error to noise by architecture and by kind of image. Exit
code 1 where one is above 10, which would be an alarm.
"""

import argparse
import copy
import itertools
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from benchmarks.fault_injection.references import SHARED
from picodet.alignment.checks.layers import LayerSnapshot, compare_layers, float64_copy, snapshots
from picodet.alignment.lockstep_runs import LayerCall, run_blocking
from picodet.alignment.onnx import model as onnx_model
from picodet.alignment.pairing.pairs import PairedCall, Pairing
from picodet.alignment.recording.probes import IMAGE
from picodet.alignment.reference_tensors import ReferenceFeed, ReferenceTensors
from picodet.alignment.tolerance import NOISE_MULTIPLE, Tolerance
from picodet.config import ModelConfig
from picodet.converter.match_tensors import match_tensors
from picodet.converter.names.name_tables import name_table
from picodet.data.preprocess import preprocess, read_image
from picodet.exporter.model_proto import build_model
from picodet.exporter.options import ExportOptions
from picodet.formats.meta import make_meta
from picodet.graphs.operators import Source, TensorKey
from picodet.models.picodet import PicoDet
from scripts.fixtures import seeded

KINDS = ("one color", "tiny", "stretched", "gradient", "noise", "real")
MEASURES = ("local", "accumulated")
NO_RATIO = (0.0, "")
SIZE = (64, 96)


def images(count: int) -> Iterator[tuple[str, np.ndarray]]:
    """`count` images: the kind, and BGR [h, w, 3] uint8. Always the same."""
    random = np.random.RandomState(0)
    real = sorted((SHARED / "coco/val2017").glob("*.jpg")) or [IMAGE]
    colors = [np.zeros(3), np.full(3, 255), np.full(3, 77)]
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        image: np.ndarray
        size, part = (random.randint(1, 300), random.randint(1, 300), 3), number // len(KINDS)
        if kind == "one color":
            color = colors[part] if part < len(colors) else random.randint(0, 256, 3)
            image = np.full(size, color)
        elif kind == "tiny":
            image = random.randint(0, 256, (random.randint(1, 4), random.randint(1, 4), 3))
        elif kind == "stretched":
            image = random.randint(0, 256, [(1, 300, 3), (300, 1, 3)][part % 2])
        elif kind == "gradient":
            image = np.linspace(random.randint(0, 256, 3), random.randint(0, 256, 3), 200)[None]
        elif kind == "noise":
            image = random.randint(0, 256, size)
        else:
            image = read_image(real[part % len(real)])
        yield kind, np.ascontiguousarray(image, dtype=np.uint8)


def architectures() -> dict[str, ModelConfig]:
    """One config with a small input for each architecture, by name."""
    found: dict[str, ModelConfig] = {}
    for config in seeded.RECORDED_CONFIGS.values():
        found.setdefault(seeded.architecture(config), replace(config, input_size=SIZE))
    return {config.name: config for config in found.values()}


def seeded_model(config: ModelConfig) -> PicoDet:
    """A model in eval mode with seeded weights."""
    model = PicoDet(config).eval()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    table = name_table(config.backbone, config.neck, config.head)
    weights = match_tensors(
        seeded.checkpoint(seeded.shapes(config)), shapes, table, config.input_size
    ).weights
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model


class OnnxReference(ReferenceTensors):
    """All tensors that onnxruntime computes from an image, in place of a recording."""

    def __init__(self, path: Path) -> None:
        file = onnx_model.load(path)
        input_name = file.proto.graph.input[0].name
        made = {Source(-1): input_name, **file.node_mapping.tensor_names}

        def keys(sources: Iterable[Source]) -> tuple[TensorKey | None, ...]:
            return tuple(made.get(source) for source in sources)

        calls = (
            PairedCall(c.path, c.number, c.type, c.path, keys(c.inputs), keys(c.outputs))
            for c in file.traced.calls
        )
        super().__init__(_recording(), file.comparable_pairing(Pairing(tuple(calls), {}, ())))
        held = {tensor.name for tensor in file.proto.graph.initializer} | {input_name}
        self.names = sorted({name for name in made.values() if name not in held})
        del file.proto.graph.output[:]
        file.proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(file.proto.SerializeToString(), options)
        self.input_name = input_name
        self.made: dict[TensorKey, Tensor] = {}

    def run(self, array: np.ndarray) -> dict[TensorKey, Tensor]:
        """All tensors of the graph for an input [1, 3, H, W], by name."""
        made = self.session.run(self.names, {self.input_name: array})
        arrays = {self.input_name: array, **dict(zip(self.names, made, strict=True))}
        return {key: torch.from_numpy(array) for key, array in arrays.items()}

    def with_tensors(self, made: dict[TensorKey, Tensor]) -> "OnnxReference":
        """The same reference with the tensors of one run."""
        found = copy.copy(self)
        found.made = made
        return found

    def tensor(self, key: TensorKey) -> Tensor:
        return self.made[key]


def _recording() -> Any:
    """A stand-in for a recording that holds all tensors."""
    return SimpleNamespace(index=SimpleNamespace(samples=0), has=lambda key: True)


class Batch:
    """Images that share each run of the comparison, and are compared one by one."""

    def __init__(
        self, model: PicoDet, double: PicoDet, reference: OnnxReference, arrays: list[np.ndarray]
    ) -> None:
        """double: `model` in float64. arrays: each [1, 3, H, W]."""
        self.model, self.double = model, double
        self.images = [torch.from_numpy(array) for array in arrays]
        made = [reference.run(array) for array in arrays]
        self.reference = [reference.with_tensors(tensors) for tensors in made]
        self.all = reference.with_tensors(
            {key: torch.cat([tensors[key] for tensors in made]) for key in made[0]}
        )
        self.runs: dict[Any, list[list[LayerCall]]] = {}  # by options of a run: calls, by image

    def ratios(self, number: int) -> dict[str, tuple[float, str]]:
        """For one image, by measure, the highest error over noise, and the layer."""

        def made(
            model: PicoDet, recorded: ReferenceTensors, images: Tensor
        ) -> Iterator[LayerSnapshot]:
            return snapshots(
                model, recorded, images, partial(self._run, number), lambda _: self.double
            )

        image, allowed = self.images[number], Tolerance(NOISE_MULTIPLE)
        result = compare_layers(
            self.model, self.reference[number], image, allowed, lambda done: None, made
        )
        if result.run_error or result.unpaired:
            return {MEASURES[0]: (float("inf"), f"not all: {result.run_error} {result.unpaired}")}
        return {
            measure: max(
                (g.error_over_noise, x.path) for x in result.layers if (g := getattr(x, measure))
            )
            for measure in MEASURES
        }

    def _run(
        self,
        number: int,
        model: PicoDet,
        image: Tensor,
        feed: ReferenceFeed | None,
        threads: int,
        sequential_sums: bool = False,
        seed: int | None = None,
    ) -> Iterator[LayerCall]:
        """As lockstep_runs.run, without a thread and a clone; keeps the calls of all images."""
        key = (image.dtype, feed is None, threads, sequential_sums, seed)
        if key not in self.runs:
            images = torch.cat(self.images).to(image.dtype)
            whole = feed and ReferenceFeed(self.all, feed.dtype)
            layer_calls: list[LayerCall] = []
            run_blocking(model, images, whole, threads, layer_calls.append, sequential_sums, seed)
            self.runs[key] = [self._split_by_image(layer_call) for layer_call in layer_calls]
        return (images[number] for images in self.runs[key])

    def _split_by_image(self, layer_call: LayerCall) -> list[LayerCall]:
        """The call of each image, from a call of the batch."""
        count = len(self.images)
        inputs, outputs = (
            [tensor.chunk(count) for tensor in side]
            for side in (layer_call.inputs, layer_call.outputs)
        )
        return [
            layer_call._replace(
                inputs=[each[number] for each in inputs],
                outputs=[each[number] for each in outputs],
            )
            for number in range(count)
        ]


class RightModel(NamedTuple):
    """A model, its float64 copy, and its export."""

    config: ModelConfig
    model: PicoDet
    double: PicoDet
    reference: OnnxReference


def right_model(config: ModelConfig) -> RightModel:
    """A model with seeded weights, exported."""
    model = seeded_model(config)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.onnx"
        meta = make_meta(config, "detector", "seeded", "0" * 64)
        onnx.save(build_model(model, ExportOptions("heads"), meta), path)
        return RightModel(config, model, float64_copy(model), OnnxReference(path))


def main() -> None:
    """Compare all images and print the highest ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--only", nargs="+", default=[""], help="architectures with one in the name"
    )
    parser.add_argument("--together", type=int, default=20, help="images that share a run")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no longer than that")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    found = {
        name: config
        for name, config in architectures().items()
        if any(word in name for word in arguments.only)
    }
    turns = {  # every other architecture begins with the other count
        name: itertools.islice(itertools.cycle(arguments.threads), place % 2, None)
        for place, name in enumerate(found)
    }
    models: dict[str, RightModel] = {}
    highest: dict[str, dict[str, tuple[float, str]]] = defaultdict(dict)  # by name or kind, measure
    samples, comparisons = images(arguments.images), 0
    while group := list(itertools.islice(samples, arguments.together)):
        for name, config in found.items():
            threads = next(turns[name])
            if time.monotonic() > end:
                break
            right = models.get(name) or models.setdefault(name, right_model(config))
            sizes = config.input_size, config.preprocessing
            arrays = [preprocess(image, *sizes)[0][None] for _, image in group]
            torch.set_num_threads(threads)
            batch = Batch(right.model, right.double, right.reference, arrays)
            for number, (kind, _) in enumerate(group):
                torch.set_num_threads(threads)
                for measure, ratio in batch.ratios(number).items():
                    for key in (name, kind):
                        highest[key][measure] = max(highest[key].get(measure, NO_RATIO), ratio)
                comparisons += 1
            print(f"  {comparisons} comparisons, {name}, {threads} threads", flush=True)
        print_ratios(highest, f"{len(models)} architectures, {comparisons} comparisons")
        if time.monotonic() > end:
            break
    sys.exit(max(m[0] for key in highest.values() for m in key.values()) > NOISE_MULTIPLE)


def print_ratios(highest: dict[str, dict[str, tuple[float, str]]], what: str) -> None:
    """Print the highest ratio of each architecture and kind of image, and of all."""
    for key, measures in highest.items():
        each = (f"{measure} {ratio:.1f} ({path})" for measure, (ratio, path) in measures.items())
        print(f"{key}: at most {', '.join(each)}")
    highest_ratio = max(ratio for measures in highest.values() for ratio, _ in measures.values())
    print(f"{what}: at most {highest_ratio:.1f}; an alarm is {NOISE_MULTIPLE:g}", flush=True)


if __name__ == "__main__":
    main()
