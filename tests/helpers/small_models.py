"""Small PicoDets of every architecture, and the files that hold them."""

from dataclasses import replace
from functools import cache

from tracing import filled_model, seeded_checkpoint

from picodet.zoo.architectures import VARIANTS, XS_LCNET, S
from scripts.fixtures import seeded


def small(variant):
    """A small config of the same architecture: few classes, a small input, a shallow head."""
    return replace(variant, classes=("a", "b", "c"), input_size=(96, 128), head_convs=1)


V1, V2 = small(S), small(XS_LCNET)
SMALL = {variant.name: small(variant) for variant in VARIANTS}


@cache
def checkpoint_of(config):
    """Seeded weights by ppdet's names."""
    return seeded_checkpoint(config)


@cache
def model_of(config):
    """The model with these weights."""
    return filled_model(config, checkpoint_of(config))


def weights_of(config):
    """These weights as tensors, by picodet's names."""
    return {name: value.numpy() for name, value in model_of(config).state_dict().items()}


def written(config, path):
    """Write the weights as a .pdparams, or in the form of the suffix."""
    seeded.write(checkpoint_of(config), path)
    return path


def differing(found, config):
    """Names of weights that differ from the model's in any bit, or that it lacks."""
    expected = weights_of(config)
    names = dict.fromkeys([*expected, *found])
    return [
        name
        for name in names
        if name not in found
        or name not in expected
        or found[name].dtype != expected[name].dtype
        or found[name].tobytes() != expected[name].tobytes()
    ]
