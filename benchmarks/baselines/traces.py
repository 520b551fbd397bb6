"""Traces: the outputs of every step of one run, by name, for tools that compare tensors."""

import copy

import numpy as np
import torch

from picodet.alignment.checks.heads_and_decoding import make_head_output
from picodet.alignment.checks.nms import picodet_nms
from picodet.alignment.checks.preprocessing import preprocessing_steps, recorded_image
from picodet.alignment.lockstep_runs import LayerError, run
from picodet.alignment.pairing.by_name import pair_by_name
from picodet.alignment.recording.reader import Recording
from picodet.config import ModelConfig
from picodet.converter.names.name_tables import name_table
from picodet.models.picodet import PicoDet
from picodet.ops import decode

PREPROCESSING, BOXES, SCORES, DETECTIONS = "preprocessing", "boxes", "scores", "NMS"
NON_LAYER_STEPS = {  # steps other than layers, and the stages that they belong to
    PREPROCESSING: {"preprocessing"},
    BOXES: {"heads", "decoding"},
    SCORES: {"heads", "decoding"},
    DETECTIONS: {"NMS"},
}


def reference_trace(recording: Recording, config: ModelConfig) -> dict[str, np.ndarray]:
    """The trace of a reference that ppdet ran."""
    outputs, index = recording.index.network_outputs, recording.index
    trace = {PREPROCESSING: recording.tensor(index.input)}
    table = name_table(config.backbone, config.neck, config.head)
    for call in pair_by_name(index, table).calls:
        for i, key in enumerate(call.outputs):
            if key is not None:
                trace[_name(call.path, call.number, i)] = recording.tensor(key)
    for name, key in (
        (BOXES, outputs.boxes),
        (SCORES, outputs.box_scores),
        (DETECTIONS, outputs.kept),
    ):
        if key is not None:
            trace[name] = recording.tensor(key)
    return trace


def our_trace(model: PicoDet, recording: Recording) -> dict[str, np.ndarray]:
    """The trace of picodet's model on the recorded image, up to where it fails."""
    array = preprocessing_steps(recorded_image(recording), model.config)["normalise"][None]
    trace = {PREPROCESSING: array}
    images = torch.from_numpy(array.astype(recording.index.precision))
    if images.dtype == torch.float64:
        model = copy.deepcopy(model).double()
    heads: list[torch.Tensor] = []
    try:
        for event in run(model, images, None, torch.get_num_threads()):
            for i, tensor in enumerate(event.outputs):
                trace[_name(event.path, event.number, i)] = tensor.numpy()
            if event.path == "head":
                heads = event.outputs
    except LayerError:
        return trace
    with torch.inference_mode():
        output = make_head_output(model.config.head, heads)
        boxes, scores = (t.numpy() for t in decode.decode(output, model.head.integral))
    trace |= {BOXES: boxes, SCORES: scores}
    scale_factor = np.array(recording.index.scale_factor, boxes.dtype)
    trace[DETECTIONS] = picodet_nms(boxes[0], scores[0], scale_factor)
    return trace


def common_steps(reference: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> list[str]:
    """The names of steps that both traces have, in the order of the forward pass."""
    return [name for name in right if name in reference]


def layer_of(step: str) -> str:
    """The path of the layer of a step."""
    return step.partition(" ")[0]


def _name(path: str, call: int, output: int) -> str:
    return f"{path} {call} {output}"
