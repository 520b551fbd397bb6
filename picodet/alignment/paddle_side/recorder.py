"""Records ppdet's preprocessing and forward pass. Imported in Paddle's process only."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from ppdet.data.transform.operators import Decode, NormalizeImage, Permute, Resize
from ppdet.modeling.heads import pico_head
from ppdet.modeling.layers import MultiClassNMS

from picodet.alignment.paddle_side import model
from picodet.alignment.recording import probes
from picodet.alignment.recording.index import PreprocessingStep, RecordedCall, RecordedOutputs
from picodet.alignment.recording.network_input import NetworkInput
from picodet.alignment.recording.writer import RecordingWriter
from picodet.config import STRIDES, ModelConfig, Preprocessing
from picodet.data.preprocess import read_image
from picodet.data.resize_kernels import fingerprint, use_kernels
from picodet.graphs.operators import TensorKey


def preprocess(
    image_path: Path, size: tuple[int, int], preprocessing: Preprocessing
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The image after each of ppdet's transforms, and the scale factor [2] (y, x).

    size: height, width. Arrays are [H, W, 3] except normalise, [3, height, width] float32.
    """
    sample = {"im_file": str(image_path), "im_id": np.array([0]), "keep_ori_im": True}
    sample = Decode()(sample)
    steps = {"decode": sample["ori_image"], "colour": sample["image"]}
    sample = Resize(target_size=list(size), keep_ratio=False, interp=preprocessing.interp)(sample)
    steps["resize"] = sample["image"].copy()  # the next one works in place
    mean, std = list(preprocessing.mean), list(preprocessing.std)
    normalize = NormalizeImage(mean, std, is_scale=preprocessing.is_scale)
    sample = Permute()(normalize(sample))
    steps["normalise"] = sample["image"]
    return steps, sample["scale_factor"]


def record_preprocessing(
    image_path: Path, config: ModelConfig, writer: RecordingWriter
) -> tuple[NetworkInput, tuple[PreprocessingStep, ...]]:
    """The network's input that ppdet makes of an image, and every step of its preprocessing.

    Raises ImageError for a file that cannot be decoded.
    """
    read_image(image_path)  # ppdet silently continues where it cannot be decoded
    unique_arrays, scale_factor = preprocess(image_path, config.input_size, config.preprocessing)
    with use_kernels("portable"):
        portable, _ = preprocess(image_path, config.input_size, config.preprocessing)
    is_portable = np.array_equal(unique_arrays["resize"], portable["resize"])
    steps = tuple(
        PreprocessingStep(name, writer.add(array, whole=name == "resize" and not is_portable))
        for name, array in unique_arrays.items()
    )
    array, encoded = unique_arrays["normalise"][None], image_path.read_bytes()
    return NetworkInput(array, scale_factor, encoded, fingerprint("native"), is_portable), steps


def record_forward(
    detector: paddle.nn.Layer,
    config: ModelConfig,
    writer: RecordingWriter,
    network_input: NetworkInput,
    progress: Callable[[int, int], None],
) -> tuple[tuple[RecordedCall, ...], RecordedOutputs]:
    """Run the detector; every call of every layer, in the order of their returns, and the outputs.

    Leaves its hooks on the detector.
    """
    calls: list[RecordedCall] = []
    numbers: dict[str, int] = {}
    predicted: dict[str, np.ndarray] = {}
    named = named_layers(detector)

    def hook(path: str) -> Callable[[paddle.nn.Layer, Any, Any], None]:
        def keep(layer: paddle.nn.Layer, inputs: Any, outputs: Any) -> None:
            number = numbers[path] = numbers.get(path, -1) + 1
            # samples of inputs are useless: a layer cannot run on them
            input_keys = () if writer.samples else tuple(map(writer.add, unique_arrays(inputs)))
            output_arrays = unique_arrays(outputs)
            calls.append(
                RecordedCall(
                    path,
                    number,
                    type(layer).__name__,
                    input_keys,
                    tuple(map(writer.add, output_arrays)),
                )
            )
            progress(len(calls), len(named))
            if PREDICTOR.match(path):
                predicted[path] = output_arrays[0]

        return keep

    for path, layer in named.items():
        layer.register_forward_post_hook(hook(path))
    with paddle.no_grad():
        features = detector.neck(
            detector.backbone({"image": paddle.to_tensor(network_input.array)})
        )
        scores, boxes = detector.head(features)
        kept = post_process(detector, boxes, scores, network_input.scale_factor)
    head_maps = [
        HEADS[config.head](predicted, level, len(config.classes)) for level in range(len(STRIDES))
    ]
    outputs = RecordedOutputs(
        scores=tuple(writer.add(scores) for scores, _ in head_maps),
        reg=tuple(writer.add(reg) for _, reg in head_maps),
        boxes=writer.add(boxes.numpy()),
        box_scores=writer.add(scores.numpy()),
        kept=writer.add(kept, whole=True),
    )
    return tuple(calls), outputs


def post_process(
    detector: paddle.nn.Layer, boxes: paddle.Tensor, scores: paddle.Tensor, scale_factor: np.ndarray
) -> np.ndarray:
    """ppdet's post-processing of boxes [1, A, 4] and scores [1, C, A].

    scale_factor [2] (y, x) -> [N, 6] of class, score, xyxy in pixels of the image.
    """
    scale = paddle.to_tensor(scale_factor[None].astype(boxes.numpy().dtype))
    kept: np.ndarray = detector.head.post_process((scores, boxes), scale)[0].numpy()
    return kept.reshape(-1, 6)


def record_probes(nms: MultiClassNMS, writer: RecordingWriter) -> dict[str, TensorKey]:
    """Store ppdet's answers to probes.py and return their keys."""
    answers = answer_probes(nms)
    with use_kernels("portable"):
        portable = answer_preprocessing()
    # the key of a preprocessed image is enough to compare it, except where it depends on the
    # machine's resize kernels
    return {
        name: writer.add(
            answer, whole=name not in portable or not np.array_equal(answer, portable[name])
        )
        for name, answer in answers.items()
    }


def answer_probes(nms: MultiClassNMS) -> dict[str, np.ndarray]:
    """ppdet's answers to all probes, by name."""

    def run_nms(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        tensors = (paddle.to_tensor(array[None]) for array in (boxes, scores))
        kept: np.ndarray = nms(*tensors)[0].numpy()
        return kept.reshape(-1, 6)

    return probes.collect_answers(_preprocessed, lambda head: DECODERS[head](), run_nms)


def answer_preprocessing() -> dict[str, np.ndarray]:
    """ppdet's answers to the preprocessing probes, by name."""
    return probes.collect_preprocessing(_preprocessed)


def _preprocessed(image_path: Path, size: tuple[int, int], interp: int) -> np.ndarray:
    steps, _ = preprocess(image_path, size, Preprocessing(interp=interp))
    return steps["normalise"]


def _decode() -> tuple[np.ndarray, np.ndarray]:
    """Run ppdet's head of 2021 on the probe's outputs of its predictors."""
    heads = probes.head_outputs()
    head = model.build_head(probes.NUM_CLASSES, probes.NUM_BINS - 1)
    _replace_forward(head.head_cls_list, heads)
    return _answer(head, heads)


def _decode_aligned() -> tuple[np.ndarray, np.ndarray]:
    """Run ppdet's head of 2022 on the probe's outputs of its predictors."""
    heads = probes.head_v2_outputs()
    head = model.build_head_v2(probes.NUM_CLASSES, probes.NUM_BINS - 1)
    parts = zip(*heads, strict=True)
    for layers in (head.head_cls_list, head.cls_align, head.head_reg_list):
        _replace_forward(layers, next(parts))
    return _answer(head, [reg for _, _, reg in heads])


DECODERS = {"pico_head": _decode, "pico_head_v2": _decode_aligned}


def _replace_forward(layers: Iterable[paddle.nn.Layer], outputs: Iterable[np.ndarray]) -> None:
    for layer, output in zip(layers, map(paddle.to_tensor, outputs), strict=True):
        layer.forward = lambda _, output=output: output


def _answer(head: pico_head.PicoHead, maps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [A, 4] and scores [C, A]; only the sizes of the maps matter."""
    head.conv_feat.forward = lambda feature, level: (feature, feature)
    with paddle.no_grad():
        scores, boxes = head([paddle.to_tensor(array) for array in maps])
    return boxes.numpy()[0], scores.numpy()[0]


def _head_scores_and_reg(
    predicted: Mapping[str, np.ndarray], level: int, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores [1, C, anchors] and reg [1, 4 * bins, anchors] of one level, from its predictor."""
    flat = _flatten_map(predicted[f"head.head_cls{level}"])
    scores = paddle.nn.functional.sigmoid(flat[:, :num_classes])
    return scores.numpy(), flat[:, num_classes:].numpy()


def _head_v2_scores_and_reg(
    predicted: Mapping[str, np.ndarray], level: int, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same from three predictors; the score as in heads/pico_head.py:609 of ppdet 2.6.0."""
    classes, alignment = (
        paddle.nn.functional.sigmoid(_flatten_map(predicted[path]))
        for path in (f"head.head_cls{level}", f"head.cls_align.{level}")
    )
    scores = (classes * alignment + pico_head.eps).sqrt()
    return scores.numpy(), _flatten_map(predicted[f"head.head_reg{level}"]).numpy()


def _flatten_map(predicted: np.ndarray) -> paddle.Tensor:
    """[1, C, h, w] -> [1, C, h * w]."""
    return paddle.to_tensor(predicted.reshape(*predicted.shape[:2], -1))


# the layers whose outputs are the head's, and how to combine those
PREDICTOR = re.compile(r"head\.(head_cls\d+|head_reg\d+|cls_align\.\d+)$")
HEADS = {"pico_head": _head_scores_and_reg, "pico_head_v2": _head_v2_scores_and_reg}


def named_layers(detector: paddle.nn.Layer) -> dict[str, paddle.nn.Layer]:
    """Every layer once, in ppdet's order, by its canonical name."""
    return {model.canonical_name(name): layer for name, layer in detector.named_sublayers()}


def unique_arrays(value: Any) -> list[np.ndarray]:
    """The tensors in a layer's inputs or outputs as arrays, each once."""
    tensors = {id(tensor): tensor for tensor in _tensors(value)}
    return [tensor.numpy() for tensor in tensors.values()]


def _tensors(value: Any) -> Iterator[paddle.Tensor]:
    if isinstance(value, paddle.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
