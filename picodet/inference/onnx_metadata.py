"""What an ONNX file says of itself, in its metadata or by the shapes of what it takes and gives."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from picodet.config import ModelConfig, Preprocessing
from picodet.errors import CheckpointError
from picodet.formats.meta import META_KEY, bins_from_meta, config_from_meta
from picodet.inference import output_formats
from picodet.inference.backend import Fed, Spec, check_size
from picodet.inference.output_formats import LEVELS, Shape
from picodet.ops.postprocess import Candidates, Detections
from picodet.zoo.class_names import COCO, class_names_in_metadata

SCALE_FACTOR = "scale_factor"


@dataclass(frozen=True)
class OnnxSpec:
    """How a file is fed and read."""

    spec: Spec
    picture: str  # name of the input that takes the picture
    scale_factor: str | None  # name of the input that takes it
    project: np.ndarray  # [bins]: what each bin of a distribution stands for, in strides

    def feed(self, fed: Fed) -> dict[str, np.ndarray]:
        """The inputs by name."""
        feed = {self.picture: fed.images}
        return feed | ({self.scale_factor: fed.scale_factors} if self.scale_factor else {})

    def read(
        self, outputs: Sequence[np.ndarray], fed: Fed
    ) -> Sequence[Candidates] | Sequence[Detections]:
        """What the outputs, in the file's order, say."""
        if self.spec.form == "heads":
            height, width = fed.images.shape[2:]
            return output_formats.read_heads(outputs, (height, width), self.project)
        if self.spec.form == "boxes":
            return output_formats.read_boxes(outputs)
        found = output_formats.read_detections(outputs, len(fed.images))
        if self.scale_factor:
            return found
        return [
            Detections(each.boxes / np.array([x, y, x, y], np.float32), each.scores, each.classes)
            for each, (y, x) in zip(found, fed.scale_factors, strict=True)
        ]


def read_spec(
    path: Path,
    inputs: Mapping[str, Shape],
    outputs: Sequence[Shape],
    metadata: Mapping[str, str],
    size: tuple[int, int] | None,
) -> OnnxSpec:
    """size: (height, width) of the input, asked for; needed where the file takes any.

    Raises CheckpointError for what is no PicoDet, or does not take the size.
    """
    pictures = [name for name, shape in inputs.items() if len(shape) == 4]
    others = set(inputs) - {*pictures[:1], SCALE_FACTOR}
    if len(pictures) != 1 or others:
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in inputs.items())
        raise CheckpointError(
            f"{path}: takes {listed}; expected are one picture [B, 3, H, W] and perhaps "
            f"{SCALE_FACTOR} [B, 2]"
        )
    form = output_formats.recognise(str(path), outputs)
    meta = _meta(path, metadata)
    try:
        config = config_from_meta(meta) if meta else None
        project = np.array(bins_from_meta(meta) or range(_bins(form, outputs)), np.float32)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path}: its metadata {META_KEY} is not ours: {type(error).__name__} {error}"
        ) from error
    counted = output_formats.count_classes(form, outputs)
    classes, notes = _classes(path, config, counted, class_names_in_metadata(metadata))
    if config is None:
        notes += ("mean, std and interp are ppdet's defaults: the ONNX does not say them",)
    spec = Spec(
        name=config.name if config else path.stem,
        form=form,
        input_size=_size(path, inputs[pictures[0]], config, size),
        preprocessing=config.preprocessing if config else Preprocessing(),
        classes=classes,
        num_classes=len(classes) if classes else counted,
        notes=notes,
    )
    return OnnxSpec(spec, pictures[0], SCALE_FACTOR if SCALE_FACTOR in inputs else None, project)


def _meta(path: Path, metadata: Mapping[str, str]) -> dict[str, object]:
    """Ours, or nothing."""
    if META_KEY not in metadata:
        return {}
    try:
        meta = json.loads(metadata[META_KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata {META_KEY} is no JSON: {error}") from error
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path}: its metadata {META_KEY} is no dictionary")
    return meta


def _bins(form: output_formats.Form, outputs: Sequence[Shape]) -> int:
    """ppdet's own exports do not say the values of the bins; they are 0, 1, 2 .."""
    return (outputs[LEVELS][2] or 32) // 4 if form == "heads" else 0


def _classes(
    path: Path,
    config: ModelConfig | None,
    counted: int | None,
    listed: tuple[str, ...] | None,
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    if config:
        if counted not in (None, len(config.classes)):
            raise CheckpointError(
                f"{path}: has scores for {counted} classes, and names {len(config.classes)} in its "
                "metadata; export it again"
            )
        return config.classes, ()
    if listed and counted in (None, len(listed)):
        return listed, ()
    if listed:
        return None, (
            f"its classes have no names: it has scores for {counted}, and its metadata lists "
            f"{len(listed)}",
        )
    if counted == len(COCO):
        return COCO, ("its classes are taken to be COCO's: it has 80 and does not name them",)
    return None, ("its classes have no names: the ONNX does not say them",)


def _size(
    path: Path, picture: Shape, config: ModelConfig | None, asked: tuple[int, int] | None
) -> tuple[int, int]:
    height, width = picture[2:]
    fixed = (height, width) if height and width else None
    if fixed and asked not in (None, fixed):
        raise CheckpointError(f"{path}: takes {fixed[0]}x{fixed[1]} only; export it again")
    size = asked or fixed or (config.input_size if config else None)
    if size is None:
        raise CheckpointError(f"{path}: takes pictures of any size; name one with --input-size")
    check_size(path, size)
    return size
