"""Reads an ONNX file's spec from its metadata and the shapes of its inputs and outputs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from picodet.config import ModelConfig, Preprocessing
from picodet.errors import CheckpointError
from picodet.formats.meta import META_KEY, bins_from_meta, config_from_meta
from picodet.inference import output_formats
from picodet.inference.backend import ModelInputs, ModelSpec, check_size
from picodet.inference.output_formats import NUM_LEVELS, Shape
from picodet.ops.postprocess import Candidates, Detections
from picodet.zoo.class_names import COCO, class_names_in_metadata

SCALE_FACTOR = "scale_factor"


@dataclass(frozen=True)
class OnnxModelSpec:
    """How to feed an ONNX file and how to read its outputs."""

    spec: ModelSpec
    image_input: str  # name of the input that takes the image
    scale_factor_input: str | None  # name of its input, if there is one
    project: np.ndarray  # [bins]: value of each bin of the distributions, in strides

    def feed(self, inputs: ModelInputs) -> dict[str, np.ndarray]:
        """The inputs by the file's names."""
        feed = {self.image_input: inputs.images}
        return feed | (
            {self.scale_factor_input: inputs.scale_factors} if self.scale_factor_input else {}
        )

    def read(
        self, outputs: Sequence[np.ndarray], inputs: ModelInputs
    ) -> Sequence[Candidates] | Sequence[Detections]:
        """Decode the outputs, given in the file's order."""
        if self.spec.output_format == "heads":
            height, width = inputs.images.shape[2:]
            return output_formats.read_heads(outputs, (height, width), self.project)
        if self.spec.output_format == "boxes":
            return output_formats.read_boxes(outputs)
        found = output_formats.read_detections(outputs, len(inputs.images))
        if self.scale_factor_input:
            return found
        return [
            Detections(each.boxes / np.array([x, y, x, y], np.float32), each.scores, each.classes)
            for each, (y, x) in zip(found, inputs.scale_factors, strict=True)
        ]


def read_onnx_spec(
    path: Path,
    inputs: Mapping[str, Shape],
    outputs: Sequence[Shape],
    metadata: Mapping[str, str],
    size: tuple[int, int] | None,
) -> OnnxModelSpec:
    """The spec of an ONNX file; size: requested (height, width), needed where the file takes any.

    Raises CheckpointError where it is not a PicoDet, or does not take the size.
    """
    image_inputs = [name for name, shape in inputs.items() if len(shape) == 4]
    others = set(inputs) - {*image_inputs[:1], SCALE_FACTOR}
    if len(image_inputs) != 1 or others:
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in inputs.items())
        raise CheckpointError(
            f"{path}: takes {listed}; expected are one image [B, 3, H, W] and perhaps "
            f"{SCALE_FACTOR} [B, 2]"
        )
    output_format = output_formats.recognize_format(str(path), outputs)
    meta = _read_meta(path, metadata)
    try:
        config = config_from_meta(meta) if meta else None
        project = np.array(
            bins_from_meta(meta) or range(_num_bins(output_format, outputs)), np.float32
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path}: invalid metadata {META_KEY}: {type(error).__name__} {error}"
        ) from error
    num_classes = output_formats.count_classes(output_format, outputs)
    classes, notes = _class_names(path, config, num_classes, class_names_in_metadata(metadata))
    if config is None:
        notes += ("mean, std and interp are ppdet's defaults: the ONNX file does not state them",)
    spec = ModelSpec(
        name=config.name if config else path.stem,
        output_format=output_format,
        input_size=_input_size(path, inputs[image_inputs[0]], config, size),
        preprocessing=config.preprocessing if config else Preprocessing(),
        classes=classes,
        num_classes=len(classes) if classes else num_classes,
        notes=notes,
    )
    return OnnxModelSpec(
        spec, image_inputs[0], SCALE_FACTOR if SCALE_FACTOR in inputs else None, project
    )


def _read_meta(path: Path, metadata: Mapping[str, str]) -> dict[str, object]:
    """The metadata that picodet wrote; empty if there is none."""
    if META_KEY not in metadata:
        return {}
    try:
        meta = json.loads(metadata[META_KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata {META_KEY} is not JSON: {error}") from error
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path}: its metadata {META_KEY} is not a dictionary")
    return meta


def _num_bins(output_format: output_formats.OutputFormat, outputs: Sequence[Shape]) -> int:
    """The number of bins; ppdet's own exports do not state their values, which are 0, 1, 2 .."""
    return (outputs[NUM_LEVELS][2] or 32) // 4 if output_format == "heads" else 0


def _class_names(
    path: Path,
    config: ModelConfig | None,
    num_classes: int | None,
    class_names: tuple[str, ...] | None,
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    if config:
        if num_classes not in (None, len(config.classes)):
            raise CheckpointError(
                f"{path}: has scores for {num_classes} classes, and names "
                f"{len(config.classes)} in its "
                "metadata; export it again"
            )
        return config.classes, ()
    if class_names and num_classes in (None, len(class_names)):
        return class_names, ()
    if class_names:
        return None, (
            f"its classes have no names: it has scores for {num_classes}, and its metadata lists "
            f"{len(class_names)}",
        )
    if num_classes == len(COCO):
        return COCO, ("its classes are taken to be COCO's: it has 80 and does not name them",)
    return None, ("its classes have no names: the ONNX file does not state them",)


def _input_size(
    path: Path,
    image_shape: Shape,
    config: ModelConfig | None,
    requested_size: tuple[int, int] | None,
) -> tuple[int, int]:
    height, width = image_shape[2:]
    fixed = (height, width) if height and width else None
    if fixed and requested_size not in (None, fixed):
        raise CheckpointError(f"{path}: takes {fixed[0]}x{fixed[1]} only; export it again")
    size = requested_size or fixed or (config.input_size if config else None)
    if size is None:
        raise CheckpointError(f"{path}: takes images of any size; give one with --input-size")
    check_size(path, size)
    return size
