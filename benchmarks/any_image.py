"""Right models on images of all kinds: how near the layers of none come to an alarm.

    python benchmarks/any_image.py [--images 200] [--threads 1 2] [--only WORD]

Black, white, of one colour, tiny ones, rows and columns stretched, gradients, noise and real ones,
small; every architecture with seeded weights (tools/seeded.py) against its own export, batch norms
folded, run by onnxruntime; layer by layer, by itself and with all before it. Prints the highest
ratio of error to noise by architecture and by kind of image. Exit code 1 where one is above 10,
which is an alarm. One comparison after the other, 1 to 4 s each; --images and --only make a part.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from references import ROOT, SHARED
from torch import Tensor

from picodet.alignment import onnx_model
from picodet.alignment.gap import NOISE_MULTIPLE, Tolerance
from picodet.alignment.layers import compare_layers
from picodet.alignment.paired import PairedCall, Pairing
from picodet.alignment.probes import PICTURE
from picodet.alignment.recorded import Recorded
from picodet.config import ModelConfig
from picodet.converter.convert import convert
from picodet.converter.name_tables import name_table
from picodet.data.preprocess import preprocess, read_image
from picodet.export.onnx_file import build
from picodet.export.wanted import Wanted
from picodet.graphs.operators import Key, Source
from picodet.meta import describe
from picodet.models.picodet import PicoDet

sys.path.append(str(ROOT / "tools"))
import seeded

KINDS = ("one colour", "tiny", "stretched", "gradient", "noise", "real")
MEASURES = ("local", "accumulated")


def images(count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Kind and BGR [h, w, 3] uint8."""
    random = np.random.RandomState(0)
    real = sorted((SHARED / "coco/val2017").glob("*.jpg")) or [PICTURE]
    colours = [np.zeros(3), np.full(3, 255), np.full(3, 77)]
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        image: np.ndarray
        size, part = (random.randint(1, 300), random.randint(1, 300), 3), number // len(KINDS)
        if kind == "one colour":
            colour = colours[part] if part < len(colours) else random.randint(0, 256, 3)
            image = np.full(size, colour)
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
    """One small config of each."""
    found: dict[str, ModelConfig] = {}
    for config in seeded.RECORDED.values():
        found.setdefault(seeded.architecture(config), config)
    return {config.name: config for config in found.values()}


def filled(config: ModelConfig) -> PicoDet:
    """With seeded weights."""
    model = PicoDet(config).eval()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    table = name_table(config.backbone, config.neck, config.head)
    weights = convert(
        seeded.checkpoint(seeded.shapes(config)), shapes, table, config.input_size
    ).weights
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model


class Ran(Recorded):
    """What onnxruntime makes of an image with every tensor of a file, as if it were recorded."""

    def __init__(self, path: Path) -> None:
        file = onnx_model.load(path)
        entry = file.proto.graph.input[0].name
        made = {Source(-1): entry, **file.places.made}

        def keys(sources: Iterable[Source]) -> tuple[Key | None, ...]:
            return tuple(made.get(source) for source in sources)

        calls = (
            PairedCall(c.path, c.number, c.type, c.path, keys(c.inputs), keys(c.outputs))
            for c in file.traced.calls
        )
        super().__init__(_recording(), file.pairing(Pairing(tuple(calls), {}, ())))
        held = {tensor.name for tensor in file.proto.graph.initializer} | {entry}
        self.names = sorted({name for name in made.values() if name not in held})
        del file.proto.graph.output[:]
        file.proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(file.proto.SerializeToString(), options)
        self.entry = entry
        self.made: dict[Key, np.ndarray] = {}

    def feed(self, array: np.ndarray) -> None:
        """array [1, 3, H, W]: the input of what is compared next."""
        made = self.session.run(self.names, {self.entry: array})
        self.made = {self.entry: array, **dict(zip(self.names, made, strict=True))}

    def tensor(self, key: Key) -> Tensor:
        return torch.from_numpy(self.made[key])


def _recording() -> Any:
    """What is asked of a recording that holds all tensors."""
    return SimpleNamespace(index=SimpleNamespace(samples=0), has=lambda key: True)


def ratios(model: PicoDet, ran: Ran, array: np.ndarray) -> dict[str, tuple[float, str]]:
    """By measure the highest error over noise, and the layer."""
    ran.feed(array)
    result = compare_layers(
        model, ran, torch.from_numpy(array), Tolerance(NOISE_MULTIPLE), lambda done: None
    )
    return {
        measure: max((g.over_floor, x.path) for x in result.layers if (g := getattr(x, measure)))
        for measure in MEASURES
    }


def main() -> None:
    """Compare, and print the highest ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", default="", help="architectures whose name has this word")
    arguments = parser.parse_args()
    of_kinds: dict[str, float] = defaultdict(float)
    comparisons = 0
    for name, config in architectures().items():
        if arguments.only not in name:
            continue
        model = filled(config)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "export.onnx"
            meta = describe(config, "detector", "seeded", "0" * 64)
            onnx.save(build(model, Wanted("heads"), meta), path)
            ran = Ran(path)
        highest = dict.fromkeys(MEASURES, (0.0, ""))
        for kind, image in images(arguments.images):
            array = preprocess(image, config.input_size, config.preprocessing)[0][None]
            for threads in arguments.threads:
                torch.set_num_threads(threads)
                comparisons += 1
                for measure, found in ratios(model, ran, array).items():
                    highest[measure] = max(highest[measure], found)
                    of_kinds[kind] = max(of_kinds[kind], found[0])
        told = (f"{measure} {ratio:.1f} ({path})" for measure, (ratio, path) in highest.items())
        print(f"{name}: at most {', '.join(told)}", flush=True)
    for kind, ratio in of_kinds.items():
        print(f"{kind}: at most {ratio:.1f} times the noise")
    highest_of_all = max(of_kinds.values(), default=0.0)
    print(
        f"{comparisons} comparisons: at most {highest_of_all:.1f}; an alarm is {NOISE_MULTIPLE:g}"
    )
    sys.exit(highest_of_all > NOISE_MULTIPLE)


if __name__ == "__main__":
    main()
