"""The pairs that faults.py compares: recorded references, and models of the same weights."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fault_injection.planting import ReferenceKind
from picodet.alignment.recording.reader import Recording
from picodet.alignment.reference.record import record
from picodet.alignment.session import InputOptions
from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_file
from picodet.models import checkpoint
from scripts.fixtures import seeded

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
FAULT_MODEL = "picodet_s_192_pedestrian"  # small, with trained statistics of its batch norms
OFFICIAL_WEIGHTS = SHARED / "weights"
REFERENCE_FOLDER = SHARED / "reference"
CHECKPOINTS = (
    OFFICIAL_WEIGHTS / f"{FAULT_MODEL}.pdparams",
    OFFICIAL_WEIGHTS / "picodet_s_416_coco.pdparams",
    REFERENCE_FOLDER / "picodet_m_416_coco/picodet_m_416_coco.pdparams",
)
SEEDED_NAMES = (FAULT_MODEL, "picodet_m_320_coco", "picodet_l_320_coco")
_S = REFERENCE_FOLDER / "picodet_s_416_coco"
EXPORTS = {  # export -> the checkpoint that it was made from
    OFFICIAL_WEIGHTS / FAULT_MODEL: OFFICIAL_WEIGHTS / f"{FAULT_MODEL}.pdparams",
    _S / "export_nms/picodet_s_416_coco": _S / "picodet_s_416_coco.pdparams",
    _S / "export_raw_pdmodel/picodet_s_416_coco": _S / "picodet_s_416_coco.pdparams",
    OFFICIAL_WEIGHTS / "picodet_s_416_coco.onnx": OFFICIAL_WEIGHTS / "picodet_s_416_coco.pdparams",
    _S / "export_raw.onnx": _S / "picodet_s_416_coco.pdparams",
    _S / "export_nms.onnx": _S / "picodet_s_416_coco.pdparams",
}
RAW_HEADS = (  # exports of raw heads
    OFFICIAL_WEIGHTS / FAULT_MODEL,
    OFFICIAL_WEIGHTS / "picodet_s_416_coco.onnx",
)


@dataclass(frozen=True)
class Pair:
    """A reference, and a picodet file with the same weights."""

    reference: Path
    model: Path

    @property
    def kind(self) -> str:
        """What runs the reference: ppdet, ONNX or folder."""
        return {".pdparams": "ppdet", ".onnx": "ONNX"}.get(self.reference.suffix, "folder")

    @contextmanager
    def recorded(
        self, image: Path, python: Path | None, float64: bool = False
    ) -> Iterator[Recording]:
        """A recording of the reference on an image; its file is deleted when the block ends."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "reference.safetensors"
            size = checkpoint.load(self.model).config.input_size
            request = InputOptions(image, None, float64).request(self.reference, out, size, 0)
            record(request, python, lambda done, total: None)
            with Recording(out) as recording:
                yield recording


def pairs(folder: Path, checkpoints: list[Path]) -> list[Pair]:
    """Pairs of the checkpoints, by default with their exports; models are written to `folder`."""
    checkpoint_of = {source: source for source in checkpoints or default_checkpoints(folder)}
    if not checkpoints and SHARED.is_dir():
        checkpoint_of |= EXPORTS
    models: dict[Path, Path] = {}
    for source in checkpoint_of.values():
        if source not in models:
            models[source] = folder / f"{len(models)}.pth"
            convert_file(source, models[source], ConvertOptions())
    return [Pair(reference, models[source]) for reference, source in checkpoint_of.items()]


def pairs_against(reference_kind: ReferenceKind, all_pairs: list[Pair]) -> list[Pair]:
    """The pairs that faults of a kind are planted in; exports exist only with ../shared."""
    if reference_kind == "raw heads":
        return [pair for pair in all_pairs if pair.reference in RAW_HEADS]
    if reference_kind == "names":  # a picodet file has class names; the second has more than one
        model = all_pairs[min(1, len(all_pairs) - 1)].model
        return [Pair(model, model)]
    return all_pairs[:1]


def default_checkpoints(folder: Path) -> list[Path]:
    """Real checkpoints, or seeded ones where there is no ../shared."""
    if SHARED.is_dir():
        return list(CHECKPOINTS)
    for name in SEEDED_NAMES:
        seeded.main(name, str(folder / f"{name}.pdparams"))
    return [folder / f"{name}.pdparams" for name in SEEDED_NAMES]


def find_images(folder: Path, count: int) -> list[Path]:
    """Up to `count` images of COCO, or of scikit-image, copied to `folder`."""
    if SHARED.is_dir():
        return sorted((SHARED / "coco/val2017").glob("*.jpg"))[:count]
    import skimage  # noqa: PLC0415

    found = sorted(Path(skimage.__path__[0], "data").glob("*.[jp][pn]g"))[:count]
    return [Path(shutil.copy(path, folder)) for path in found]
