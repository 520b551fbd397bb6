"""The activations of a config, which tensors do not show: from a graph, or assumed."""

from dataclasses import replace
from typing import NamedTuple

from picodet.config import Activation, LCNetConfig, ModelConfig
from picodet.converter.names.recognize import RecognizedModel
from picodet.zoo.architectures import VARIANTS
from picodet.zoo.official import CONFIGS


class Activations(NamedTuple):
    """The activations that a graph shows and tensors do not; None where it has another."""

    backbone: Activation | None = None
    head: Activation | None = None  # and of the neck


def with_activations(config: ModelConfig, shown: Activations) -> ModelConfig:
    """The config with the activations of a graph, named as the variant that has them, if any."""
    backbone = config.backbone
    if isinstance(backbone, LCNetConfig) and shown.backbone is not None:
        backbone = replace(backbone, activation=shown.backbone)
    config = replace(config, backbone=backbone, activation=shown.head or config.activation)
    for variant in VARIANTS:
        same = (
            replace(variant.backbone, name=backbone.name) == backbone
            and variant.activation == config.activation
        )
        parts = (variant.neck, variant.head, variant.channels)
        if same and parts == (config.neck, config.head, config.channels):
            return replace(config, name=variant.name, backbone=variant.backbone)
    return config


def activation_note(recognized: RecognizedModel, config: ModelConfig) -> str | None:
    """A note if an official model with these tensors has another activation than was assumed."""
    if config.name in CONFIGS:
        return None
    others = {
        other.activation: other.name
        for other in CONFIGS.values()
        if recognized == RecognizedModel.of(other) and other.activation != config.activation
    }
    return "; ".join(
        f"the activation {config.activation} is assumed: tensors do not show it, and {name}, which "
        f"has the same, has {activation}; --config {name} sets it"
        for activation, name in others.items()
    )
