"""Recordings of a picodet model in the form of ppdet's: its names, all tensors, no Paddle."""

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.alignment.checks.nms import picodet_nms
from picodet.alignment.checks.preprocessing import preprocessing_steps
from picodet.alignment.recording.index import (
    Index,
    PreprocessingSettings,
    PreprocessingStep,
    RecordedCall,
    RecordedOutputs,
    Weight,
)
from picodet.alignment.recording.writer import RecordingWriter
from picodet.converter.names.name_tables import name_table
from picodet.formats.meta import make_meta
from picodet.models import checkpoint
from picodet.ops import decode

CONFIG = replace(SMALL, input_size=(64, 64))


def pristine(config=CONFIG):
    return filled_model(config, seeded_checkpoint(config))


def save(model, path):
    """A weights file, as picodet-convert writes it."""
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    checkpoint.save(path, weights, make_meta(model.config, "detector", "own", "0" * 64))
    return path


def save_backbone(model, path):
    """A weights file of a backbone alone, as picodet-convert writes it."""
    weights = {name: tensor.numpy() for name, tensor in model.backbone.state_dict().items()}
    checkpoint.save(path, weights, make_meta(model.config, "backbone", "own", "0" * 64))
    return path


def random_image(config=CONFIG):
    """[1, 3, H, W]"""
    return np.random.RandomState(1).normal(0, 1, (1, 3, *config.input_size)).astype("f4")


def table(config=CONFIG):
    return name_table(config.backbone, config.neck, config.head)


def paddle_name(ours, config=CONFIG):
    translation = table(config).to_paddle(ours)
    return translation and translation.name


def unique_tensors(value):
    if isinstance(value, Tensor):
        return [value]
    found = [t for part in value for t in unique_tensors(part)] if isinstance(value, tuple) else []
    return list({id(tensor): tensor for tensor in found}.values())


def record(model, path, encoded_image=None, samples=0, images=None, **changes):
    """Write a recording of `model` fed with `encoded_image`, or with `images` or noise."""
    config, (height, width) = model.config, model.config.input_size
    dtype = next(model.parameters()).dtype
    precision = str(dtype).removeprefix("torch.")
    with RecordingWriter(samples) as writer:
        steps, scale_factor, encoded = {}, np.ones(2, "f4"), None
        if encoded_image:
            steps = preprocessing_steps(encoded_image, config)
            rows, columns = steps["decode"].shape[:2]
            scale_factor = np.array([height / rows, width / columns], "f4")
            images = steps["normalise"][None]
            steps["resize"] = steps["resize"].astype("f4")
            encoded = writer.add(np.frombuffer(encoded_image, np.uint8), whole=True)
        images = (random_image(config) if images is None else images).astype(precision)
        calls, output = _calls(model, torch.from_numpy(images), writer)
        boxes, scores = decode.decode(output, copy.deepcopy(model.head.integral))
        y, x = scale_factor.tolist()
        numbers = config.preprocessing
        index = Index(
            kind="ppdet",
            file="own.pdparams",
            sha256="0" * 64,
            versions={"paddlepaddle": "none"},
            precision=precision,
            samples=samples,
            input=writer.add(images, whole=not encoded_image),
            image=encoded,
            scale_factor=(y, x),
            settings=PreprocessingSettings(
                config.input_size, numbers.interp, numbers.mean, numbers.std
            ),
            weights=tuple(_weights(model, writer)),
            steps=tuple(
                PreprocessingStep(name, writer.add(array)) for name, array in steps.items()
            ),
            calls=calls,
            operators=(),
            network_outputs=RecordedOutputs(
                tuple(writer.add(x.flatten(2).numpy()) for x in output.scores()),
                tuple(writer.add(x.flatten(2).numpy()) for x in output.reg),
                writer.add(boxes.numpy()),
                writer.add(scores.numpy()),
                writer.add(
                    picodet_nms(boxes[0].numpy(), scores[0].numpy(), scale_factor), whole=True
                ),
            ),
            probes={},
            tensors=writer.tensors,
        )
        writer.write(path, replace(index, **changes))
    return path


def _weights(model, writer):
    for name, tensor in model.state_dict().items():
        if ppdet_name := paddle_name(name, model.config):
            yield Weight(ppdet_name, writer.add(tensor.float().numpy()))


def _calls(model, images, writer):
    """All calls as they return, and the model's output."""
    calls, numbers = [], {}

    def hook(name):
        def keep(layer, taken, returned):
            number = numbers[name] = numbers.get(name, -1) + 1
            keys = (
                tuple(writer.add(tensor.numpy()) for tensor in unique_tensors(value))
                for value in (() if writer.samples else taken, returned)
            )
            ppdet_name = paddle_name(name, model.config)
            calls.append(RecordedCall(ppdet_name, number, type(layer).__name__, *keys))

        return keep

    own = copy.deepcopy(model)
    for name, layer in own.named_modules():
        if name not in ("", "head"):
            layer.register_forward_hook(hook(name))
    with torch.inference_mode():
        output = own(images)
    return tuple(calls), output
