"""A comparison made by hand: two guilty layers, one of them with NaN."""

from dataclasses import replace

import numpy as np

from picodet.alignment.result import (
    Comparison,
    Difference,
    ErrorPlots,
    Finding,
    Layer,
    Stage,
    Unpaired,
)

HOSTILE = '<script>alert("1")</script>[bold]'
FINE = Difference(1e-7, (0, 1), 1.0000001, 1.0, scale=2.0, floor=1e-7, allowed=8e-7)
WRONG = Difference(0.5, (0, 3, 2, 1), 1.5, 1.0, scale=2.0, floor=1e-7, allowed=8e-7)
BROKEN = Difference(
    float("inf"),
    (),
    float("nan"),
    1.0,
    scale=2.0,
    floor=0.0,
    allowed=0.0,
    problem="NaN in the model",
)
ERROR_PLOTS = ErrorPlots(
    errors=np.array([[0, 0.5], [np.nan, 0]]),
    model=np.array([1.5, np.nan, -1]),
    reference=np.array([1.0, 1, -1]),
)


def layer(path: str, **changes: object) -> Layer:
    """An aligned layer, except for `changes`."""
    return replace(Layer(path, f"their.{path}", 0, "Conv2d", FINE, FINE, "aligned"), **changes)


LAYERS = (
    layer("backbone.stem.conv"),
    layer("backbone.stem"),
    layer(
        "backbone.stage2.block1.conv_pw",
        local=WRONG,
        accumulated=WRONG,
        status="guilty",
        where="output",
        diagnosis="vanishes with <another> slope",
        error_plots=ERROR_PLOTS,
    ),
    layer("backbone.stage2.block1.conv_pw.act", accumulated=WRONG, status="affected"),
    layer("neck.upsample", call=0),
    layer("neck.upsample", call=1, local=None),
    layer("head.conv_feat", call=1, accumulated=None),
    layer("head.predictors.1", local=BROKEN, status="guilty", diagnosis="a negative variance"),
    layer(f"head.{HOSTILE}"),
)
ALIGNED = Comparison(
    reference="reference.npz",
    model="model.pth",
    stages=tuple(Stage(name, "aligned", f"all of {name}") for name in ("weights", "layers")),
    layers=LAYERS[:2],
    unpaired=(),
    tolerance="8 times the noise is allowed",
    environment={"torch": "2.8", "SHA-256": "ab" * 32},
)
DIFFERENT = replace(
    ALIGNED,
    model=HOSTILE,
    stages=(
        ALIGNED.stages[0],
        Stage("layers", "differs", "2 guilty", (Finding("box", HOSTILE, "a number"),)),
        Stage("NMS", "not compared", "nothing was recorded"),
    ),
    layers=LAYERS,
    unpaired=(Unpaired("reference", HOSTILE, "Swish"),),
)
