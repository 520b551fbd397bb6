"""Options of an export: the level of its outputs, and the inputs that it takes."""

from dataclasses import dataclass
from typing import Literal

from picodet.config import ResizeKernels, check_input_size
from picodet.errors import PicoDetError
from picodet.ops.postprocess import Postprocessing

ExportLevel = Literal["heads", "boxes", "detections"]
EXPORT_LEVELS: tuple[ExportLevel, ...] = ("heads", "boxes", "detections")
MIN_OPSET = 11  # that of ppdet's own exports
# The oldest in which hard-swish is one operator. Newer ones bring nothing here, and what reads
# them reads 14 too.
OPSET = 14
# The verification runs so many images in torch at once, in float64 too.
MAX_BATCH = 256


@dataclass(frozen=True)
class ExportOptions:
    """The defaults are those of ppdet's own export: NMS inside, at the model's own size."""

    level: ExportLevel = "detections"
    opset: int = OPSET
    batch: int | Literal["dynamic"] = 1
    input_size: tuple[int, int] | Literal["dynamic"] | None = None  # None: the model's own
    single_input: bool = False  # level "detections": no scale_factor, boxes in pixels of the input
    score_threshold: float = Postprocessing.score_threshold
    iou_threshold: float = Postprocessing.iou_threshold
    resize: ResizeKernels | None = None  # stated in the file's meta; None: the model's own

    def check(self) -> None:
        """Raise PicoDetError for invalid options; ort.check_opset checks what onnxruntime runs."""
        if self.opset < MIN_OPSET:
            raise PicoDetError(f"opset {self.opset}: {MIN_OPSET} or newer is expected")
        if self.batch != "dynamic" and not 1 <= self.batch <= MAX_BATCH:
            raise PicoDetError(
                f"batch {self.batch}: 1 to {MAX_BATCH} is expected, or dynamic, which takes any"
            )
        if isinstance(self.input_size, tuple):
            try:
                check_input_size(self.input_size)
            except ValueError as error:
                raise PicoDetError(str(error)) from error
        for name in ("score_threshold", "iou_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise PicoDetError(
                    f"{name} {getattr(self, name)}: a number from 0 to 1 is expected"
                )
        if self.single_input and self.level != "detections":
            raise PicoDetError(
                f"level {self.level} has a single input anyway; leave out --single-input"
            )
