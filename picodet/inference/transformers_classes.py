"""PicoDet as a model and an image processor of Hugging Face's transformers.

The `modeling_picodet.py` of a directory in Hugging Face's form (picodet.formats.huggingface_folder)
subclasses what is here, so that `AutoModelForObjectDetection` and `AutoImageProcessor` find it.
Only this module imports transformers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from transformers import BaseImageProcessor, BatchFeature, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES
from transformers.utils import ModelOutput

from picodet.config import ModelConfig, Preprocessing, check_input_size
from picodet.data.preprocess import preprocess, read_image, scale_factor
from picodet.errors import CheckpointError, ImageError, PicoDetError
from picodet.formats.huggingface_folder import (
    CONFIG,
    PREPROCESSOR,
    network_meta,
    preprocessing_meta,
)
from picodet.formats.meta import config_from_meta, make_meta
from picodet.inference.output_formats import to_candidates
from picodet.inference.torch_backend import decode_precisely
from picodet.models.picodet import PicoDet
from picodet.ops.postprocess import PostprocessingOptions, postprocess
from picodet.zoo.architectures import S

ImageInput = Image | np.ndarray | Tensor | str | Path
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
# transformers reads the two JSON files apart, and each states a part of the meta only: what the
# other part states is irrelevant here, and taken from any config
OTHER_PART = make_meta(S, "detector", "", "")


class PicoDetConfig(PreTrainedConfig):
    """The content of `config.json`: architecture and class names."""

    model_type = "picodet"


@dataclass
class PicoDetOutput(ModelOutput):
    """Decoded outputs of a batch, before NMS; A anchor points, level after level."""

    boxes: Tensor | None = None  # [B, A, 4] xyxy, pixels of the network's input
    scores: Tensor | None = None  # [B, C, A], 0 to 1


class PicoDetForObjectDetection(PreTrainedModel):
    """The network with decoding. Its tensors have the names of `picodet.load`'s model."""

    config_class = PicoDetConfig
    main_input_name = "pixel_values"

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        network = PicoDet(_model_config(config))
        self.backbone, self.neck, self.head = network.backbone, network.neck, network.head
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """Read a directory or a repository, as transformers does, but with exactly its tensors.

        Raises CheckpointError where a tensor is missing or left over, of which transformers only
        warns; of another shape it raises RuntimeError.
        """
        model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        problems = [
            f"{kind.removesuffix('_keys')} {name}"
            for kind in ("missing_keys", "unexpected_keys")
            for name in sorted(info[kind])
        ]
        if problems:
            source = args[0] if args else kwargs.get("pretrained_model_name_or_path")
            more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise CheckpointError(
                f"{source}: weights and {CONFIG} do not agree: {', '.join(problems[:3])}{more}; "
                "convert the model again"
            )
        for tensor in (*model.parameters(), *model.buffers()):
            # transformers leaves them in the mapped file, where they are not aligned: torch's
            # kernels then add in another order than with picodet.load's
            tensor.data = tensor.data.clone()
        return (model, info) if output_loading_info else model

    def forward(
        self, pixel_values: Tensor, labels: Any = None, return_dict: bool | None = None
    ) -> PicoDetOutput | tuple[Tensor, Tensor]:
        """pixel_values [B, 3, H, W], preprocessed, H and W multiples of 32 -> decoded outputs.

        return_dict False gives the tuple (boxes, scores). Raises PicoDetError for other shapes, and
        for labels: there is no loss here.
        """
        if labels is not None:
            raise PicoDetError("labels: no loss is computed here; train with picodet-train")
        if pixel_values.ndim != 4 or pixel_values.shape[1] != 3:
            raise PicoDetError(
                f"pixel_values: found {list(pixel_values.shape)}; expected [B, 3, H, W]"
            )
        try:
            check_input_size((pixel_values.shape[2], pixel_values.shape[3]))
        except ValueError as error:
            raise PicoDetError(f"pixel_values: {error}") from error
        output = self.head(self.neck(self.backbone(pixel_values)))
        boxes, scores = decode_precisely(output, self.head.integral)
        return (boxes, scores) if return_dict is False else PicoDetOutput(boxes, scores)


# without it pipeline("object-detection") logs an error: "not supported for object-detection"
MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES.setdefault(
    PicoDetConfig.model_type, PicoDetForObjectDetection.__name__
)


class PicoDetImageProcessor(BaseImageProcessor):
    """The content of `preprocessor_config.json`; preprocesses and post-processes as picodet does.

    `image_mean`, `image_std`, `size` and the others are attributes, and may be changed.
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012  # transformers' attribute

    def preprocess(
        self,
        images: ImageInput | Sequence[ImageInput],
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """One image or several -> `pixel_values` [B, 3, H, W] float32.

        An image is of PIL, the path of a file, or uint8 in RGB, [H, W, 3] or [3, H, W], as an array
        or a tensor. Only a file is turned as its EXIF says. return_tensors is "pt" or "np".
        Raises ImageError for other images, PicoDetError for options of a single call.
        """
        if kwargs:
            raise PicoDetError(
                f"{', '.join(kwargs)}: expected no options; change {PREPROCESSOR}, or set "
                "attributes of the image processor"
            )
        input_size, preprocessing = self._input()
        several = isinstance(images, list | tuple) or getattr(images, "ndim", 3) == 4
        batch: list[Any] = list(images) if several else [images]  # type: ignore[arg-type]
        if not batch:
            raise ImageError("images: found none; expected one at least")
        arrays = [preprocess(_to_bgr(image), input_size, preprocessing)[0] for image in batch]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            raise ImageError(
                f"images: the model's padding makes them {sorted(shape[1:] for shape in shapes)}; "
                "expected one size in a batch: give one image at a time"
            )
        return BatchFeature({"pixel_values": np.stack(arrays)}, tensor_type=return_tensors)

    def post_process_object_detection(
        self,
        outputs: PicoDetOutput,
        threshold: float = 0.5,
        target_sizes: Tensor | Sequence[tuple[int, int]] | None = None,
    ) -> list[dict[str, Tensor]]:
        """The detections of each image, as picodet.detect's: class by class, best score first.

        Each has `scores` [N], `labels` [N] and `boxes` [N, 4] xyxy, pixels of the image; they may
        reach beyond its edges. Scores are greater than `threshold`. target_sizes are the (height,
        width) of each image; None gives pixels of the network's input. Raises PicoDetError for
        wrong arguments, and for outputs that are not finite.
        """
        if not 0 <= threshold <= 1:
            raise PicoDetError(f"threshold {threshold}: expected a number from 0 to 1")
        boxes, scores = outputs["boxes"], outputs["scores"]
        candidates = to_candidates(boxes.detach().cpu().numpy(), scores.detach().cpu().numpy())
        input_size, _ = self._input()
        after = PostprocessingOptions(threshold).resolve(None)
        detections = [
            postprocess(each, factors, input_size, after)
            for each, factors in zip(
                candidates, self._scale_factors(len(boxes), target_sizes), strict=True
            )
        ]
        return [
            {
                "scores": torch.from_numpy(found.scores).to(boxes.device),
                "labels": torch.from_numpy(found.classes).to(boxes.device),
                "boxes": torch.from_numpy(found.boxes).to(boxes.device),
            }
            for found in detections
        ]

    def _scale_factors(
        self, batch: int, target_sizes: Tensor | Sequence[tuple[int, int]] | None
    ) -> list[np.ndarray]:
        """[2] (y, x) of each image; of 1 without sizes."""
        if target_sizes is None:
            return [np.ones(2, np.float32)] * batch
        sizes = [tuple(int(side) for side in size) for size in target_sizes]
        if len(sizes) != batch or any(len(size) != 2 or min(size) < 1 for size in sizes):
            raise PicoDetError(
                f"target_sizes: found {sizes!s:.60}; expected (height, width) of each of {batch} "
                "images"
            )
        input_size, preprocessing = self._input()
        return [scale_factor(_image_of(size), input_size, preprocessing) for size in sizes]

    def _input(self) -> tuple[tuple[int, int], Preprocessing]:
        """Input size (height, width) and preprocessing. Raises CheckpointError if invalid."""
        try:
            config = config_from_meta(OTHER_PART | preprocessing_meta(vars(self)))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"invalid {PREPROCESSOR}: {type(error).__name__} {error}; convert the model again"
            ) from error
        return config.input_size, config.preprocessing


def _model_config(config: PreTrainedConfig) -> ModelConfig:
    """What a network is built from. Raises CheckpointError if it is invalid."""
    content = vars(config)
    try:
        labels = {str(number): name for number, name in content["id2label"].items()}
        return config_from_meta(OTHER_PART | network_meta({**content, "id2label": labels}))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"invalid {CONFIG}: {type(error).__name__} {error}; convert the model again"
        ) from error


def _to_bgr(image: ImageInput) -> np.ndarray:
    """[H, W, 3] uint8 BGR of an image in any form that `preprocess` takes."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image):
        if image.mode not in EIGHT_BIT_MODES:
            raise ImageError(
                f"an image of PIL's mode {image.mode}; expected 8 bits per channel: give the "
                "file's path"
            )
        rgb = np.asarray(image.convert("RGB"))
    else:
        rgb = image.cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    if rgb.ndim == 3 and rgb.shape[0] == 3 and rgb.shape[2] != 3:
        rgb = rgb.transpose(1, 2, 0)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ImageError(
            f"an image: found {list(rgb.shape)} {rgb.dtype}; expected [H, W, 3] or [3, H, W] uint8 "
            "in RGB"
        )
    return np.ascontiguousarray(rgb[..., ::-1])


def _image_of(size: tuple[int, ...]) -> np.ndarray:
    """An image of (height, width) that takes no memory, as scale factors follow from images."""
    return np.broadcast_to(np.uint8(0), (*size, 3))
