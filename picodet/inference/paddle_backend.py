"""Runs a Paddle inference folder in Paddle, in its own process on the CPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from picodet.config import Preprocessing
from picodet.errors import CheckpointError, PicoDetError
from picodet.formats.inference_folder import SETTINGS_NAMES, find_program
from picodet.formats.settings.infer_cfg import InferConfig, read_infer_cfg
from picodet.graphs.inference_folder import read_size
from picodet.inference import output_formats
from picodet.inference.backend import ModelInputs, ModelSpec, check_size, describe_nms
from picodet.ops.postprocess import Candidates, Detections
from picodet.paddle_process.client import PaddleProcess
from picodet.zoo.class_names import COCO

SCALE_FACTOR, IM_SHAPE = "scale_factor", "im_shape"  # ppdet's names of inputs of programs with NMS


def open_paddle(
    folder: Path, python: Path | None, size: tuple[int, int] | None, threads: int = 1
) -> "PaddleBackend":
    """Start Paddle in `python`, or in the Python that runs this; size is (height, width).

    Raises CheckpointError where the folder holds no PicoDet, MissingPaddleError where Paddle is
    missing.
    """
    program, infer_cfg = find_program(folder), read_infer_cfg(folder)
    stated = read_size(folder, infer_cfg)
    note = None if size else stated.note
    size = size or stated.size
    if size is None:
        raise CheckpointError(
            f"{folder}: has no {' or '.join(SETTINGS_NAMES)}, and its program states no input "
            "size; give it with --input-size"
        )
    check_size(folder, size)
    process = PaddleProcess(program, python, threads)
    try:
        return PaddleBackend(folder, process, infer_cfg, size, (note,) if note else ())
    except BaseException:
        process.close()
        raise


class PaddleBackend:
    """Runs images one by one, as ppdet exports programs with a batch size of 1."""

    runtime = "paddlepaddle"

    def __init__(
        self,
        folder: Path,
        process: PaddleProcess,
        infer_cfg: InferConfig | None,
        size: tuple[int, int],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.folder, self.process = folder, process
        image_inputs = [name for name in process.inputs if name not in (SCALE_FACTOR, IM_SHAPE)]
        if len(image_inputs) != 1:
            raise CheckpointError(
                f"{folder}: its program takes {', '.join(process.inputs)}; expected are one "
                f"image and perhaps {SCALE_FACTOR} and {IM_SHAPE}"
            )
        self.image_input = image_inputs[0]
        # output shapes are unknown until the program has run
        zeros = ModelInputs(np.zeros((1, 3, *size), np.float32), np.ones((1, 2), np.float32))
        outputs = self._run(zeros)
        shapes = [output.shape for output in outputs]
        output_format = output_formats.recognize_format(str(folder), shapes)
        if output_format == "detections" and SCALE_FACTOR not in process.inputs:
            raise CheckpointError(f"{folder}: its NMS takes no {SCALE_FACTOR}; export it again")
        classes, more_notes = _class_names(
            infer_cfg, output_formats.count_classes(output_format, shapes)
        )
        notes += more_notes
        nms = None
        if infer_cfg is None:
            names = " or ".join(SETTINGS_NAMES)
            notes += (f"mean, std and interp are ppdet's defaults: there is no {names}",)
        else:
            notes += infer_cfg.notes
            if output_format != "detections" and (nms := infer_cfg.nms):
                notes += (describe_nms(nms),)
        self.settings_file = infer_cfg.file if infer_cfg else ""
        self.spec = ModelSpec(
            name=folder.resolve().name,
            output_format=output_format,
            input_size=size,
            preprocessing=infer_cfg.preprocessing if infer_cfg else Preprocessing(),
            classes=classes,
            num_classes=len(classes)
            if classes
            else output_formats.count_classes(output_format, shapes),
            nms=nms,
            notes=notes,
        )
        self._read(outputs, size)

    def __call__(self, inputs: ModelInputs) -> Sequence[Candidates] | Sequence[Detections]:
        height, width = inputs.images.shape[2:]
        found: list[Any] = []
        for i in range(len(inputs.images)):
            outputs = self._run(
                ModelInputs(inputs.images[i : i + 1], inputs.scale_factors[i : i + 1])
            )
            found += self._read(outputs, (height, width))
        return found

    def close(self) -> None:
        """End Paddle's process."""
        self.process.close()

    def _run(self, inputs: ModelInputs) -> list[np.ndarray]:
        """Outputs of one image."""
        known = {
            self.image_input: inputs.images,
            SCALE_FACTOR: inputs.scale_factors,
            IM_SHAPE: np.array([inputs.images.shape[2:]], np.float32),
        }
        return self.process.run({name: known[name] for name in self.process.inputs})

    def _read(
        self, outputs: Sequence[np.ndarray], size: tuple[int, int]
    ) -> Sequence[Candidates] | Sequence[Detections]:
        if self.spec.output_format == "heads":
            bins = outputs[output_formats.NUM_LEVELS].shape[2] // 4
            return output_formats.read_heads(outputs, size, np.arange(bins, dtype=np.float32))
        if self.spec.output_format == "boxes":
            return output_formats.read_boxes(outputs)
        (found,) = output_formats.read_detections(outputs, 1)
        if self.spec.num_classes and (found.classes >= self.spec.num_classes).any():
            raise PicoDetError(
                f"{self.folder}: found an object of class {found.classes.max()}, counted from 0, "
                f"and the label_list of its {self.settings_file} names "
                f"{self.spec.num_classes} classes, those of another model"
            )
        return [found]


def _class_names(
    infer_cfg: InferConfig | None, num_classes: int | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    labels = infer_cfg.labels if infer_cfg else None
    if labels and num_classes in (None, len(labels)):
        return labels, ()
    if infer_cfg and labels:
        return None, (
            f"its classes have no names: the program has {num_classes}, and the label_list of its "
            f"{infer_cfg.file} names {len(labels)}, those of another model",
        )
    if num_classes == len(COCO):
        return COCO, ("its classes are taken to be COCO's: it has 80 and does not name them",)
    return None, ("its classes have no names: the folder does not state them",)
