"""MODEL as the commands take it: opened once, whatever its input size turns out to be."""

from dataclasses import dataclass, replace
from pathlib import Path

from picodet.alignment.candidate import Compared, TorchModel
from picodet.converter.configure import DEFAULT_SIZE, Size, Wanted
from picodet.converter.convert import port
from picodet.converter.paddle_checkpoints import Which
from picodet.errors import AlignmentError, ConversionError
from picodet.models.checkpoint import filled
from picodet.models.picodet import PicoDet
from picodet.system.extras import why


@dataclass(frozen=True)
class Candidate:
    """What is held against the reference."""

    compared: Compared
    path: Path  # of the file that holds its weights
    assumed: bool  # models of several sizes have these weights, and the file does not say its own
    notes: tuple[str, ...]

    def at(self, size: Size) -> "Candidate":
        """The same with the size (height, width) that the reference was fed, if its own is open."""
        if not self.assumed:
            return self
        model = self.compared.model  # no weight depends on the size
        model.config = replace(model.config, input_size=size)
        note = (
            f"the input size {size[0]}x{size[1]} is the reference's: {self.path.name} does not "
            "say its own"
        )
        return replace(self, notes=(*self.notes, note))


def open_candidate(path: Path, which: Which | None = None) -> Candidate:
    """which: of averaged and raw weights, where both are there.

    Raises AlignmentError where a package is missing, ConversionError for a backbone alone, and as
    picodet.converter.convert and onnx_model.load do.
    """
    if path.suffix == ".onnx":
        return _open_onnx(path, which)
    asked: list[Size] = []

    def ask(sizes: tuple[Size, ...]) -> Size:
        asked.extend(sizes)
        return DEFAULT_SIZE if DEFAULT_SIZE in sizes else sizes[0]

    origin, ported = port(path, Wanted(ask=ask), which)
    if ported.kind != "detector":
        raise ConversionError(
            f"{path}: holds a backbone only ({ported.config.name}); a detector is expected"
        )
    model = filled(origin.path, ported.weights, lambda: PicoDet(ported.config))
    classes = ported.config.classes if ported.names_classes else None
    return Candidate(TorchModel(model, classes), origin.path, bool(asked), ported.notes)


def _open_onnx(path: Path, which: Which | None) -> Candidate:
    try:
        from picodet.alignment.onnx import model as onnx_model  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise AlignmentError(f"{path}: {why(error)}") from error
    opened = onnx_model.load(path, which=which)
    return Candidate(opened, path, opened.assumed, opened.notes)
