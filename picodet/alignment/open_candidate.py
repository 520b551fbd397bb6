"""Opens MODEL, whatever form of checkpoint or export it is."""

from dataclasses import dataclass, replace
from pathlib import Path

from picodet.alignment.candidate import Candidate, TorchModel
from picodet.converter.configure import DEFAULT_SIZE, ConvertOptions, Size
from picodet.converter.convert import convert_model
from picodet.converter.paddle_checkpoints import WeightSet
from picodet.errors import AlignmentError, ConversionError
from picodet.models.checkpoint import model_with_weights
from picodet.models.picodet import PicoDet
from picodet.system.extras import import_error_message


@dataclass(frozen=True)
class OpenedModel:
    """A model that was read, ready to be compared."""

    candidate: Candidate
    path: Path  # of the file that holds its weights
    size_assumed: bool  # several input sizes have these weights, and the file does not state one
    notes: tuple[str, ...]  # what was assumed

    def with_input_size(self, size: Size) -> "OpenedModel":
        """The candidate with the reference's input size (height, width), if it states none itself.

        Changes the config of the opened model.
        """
        if not self.size_assumed:
            return self
        model = self.candidate.model  # no weight depends on the size
        model.config = replace(model.config, input_size=size)
        note = (
            f"the input size {size[0]}x{size[1]} is the reference's: {self.path.name} does not "
            "state one"
        )
        return replace(self, notes=(*self.notes, note))


def open_candidate(path: Path, weight_set: WeightSet | None = None) -> OpenedModel:
    """Read a checkpoint, inference folder or export. weight_set: which one, where it has several.

    Raises AlignmentError where a package is missing, ConversionError for a backbone alone, and what
    `convert_model` and the ONNX model's `load` raise.
    """
    if path.suffix == ".onnx":
        return _open_onnx(path, weight_set)
    offered_sizes: list[Size] = []

    def choose_size(sizes: tuple[Size, ...]) -> Size:
        offered_sizes.extend(sizes)
        return DEFAULT_SIZE if DEFAULT_SIZE in sizes else sizes[0]

    origin, converted = convert_model(path, ConvertOptions(ask_for_size=choose_size), weight_set)
    if converted.kind != "detector":
        raise ConversionError(
            f"{path}: backbone only ({converted.config.name}); expected a detector"
        )
    model = model_with_weights(origin.path, converted.weights, lambda: PicoDet(converted.config))
    classes = converted.config.classes if converted.has_class_names else None
    return OpenedModel(
        TorchModel(model, classes), origin.path, bool(offered_sizes), converted.notes
    )


def _open_onnx(path: Path, weight_set: WeightSet | None) -> OpenedModel:
    try:
        from picodet.alignment.onnx import model as onnx_model  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise AlignmentError(f"{path}: {import_error_message(error)}") from error
    opened = onnx_model.load(path, weight_set=weight_set)
    return OpenedModel(opened, path, opened.size_assumed, opened.notes)
